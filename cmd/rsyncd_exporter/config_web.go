package main

import (
	"bytes"
	"errors"
	"io"
	"os"

	"go.yaml.in/yaml/v2"
)

// maxWebConfig is how much of a web configuration file is looked at.
const maxWebConfig = 1 << 20

// wholeWebConfig reports what exporter-toolkit passes over in a web configuration file that it accepts, and that then lets
// everybody in.
func (v *validator) wholeWebConfig(s *setting) {
	f, err := os.Open(s.value)
	if err != nil {
		return // the toolkit has told
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxWebConfig))
	if err != nil || len(text) == maxWebConfig {
		return
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, more map[string]any
	_ = documents.Decode(&first) // it is the toolkit that judges it
	if users, ok := first["basic_auth_users"]; ok {
		if list, _ := users.(map[any]any); len(list) == 0 {
			v.problem(s, errors.New("basic_auth_users names nobody, which lets everybody in: is the file cut off?"),
				"name users, or take the key out")
		}
	}
	if err := documents.Decode(&more); !errors.Is(err, io.EOF) {
		v.problem(s, errors.New("it has a second document, behind ---, which is not read"), "write all in one")
	}
}
