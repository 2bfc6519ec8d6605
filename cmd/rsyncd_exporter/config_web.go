package main

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v2"
)

// wholeWebConfig reports what exporter-toolkit passes over in a web configuration file that it accepts, and that then
// lets everybody in.
func (v *validator) wholeWebConfig(s *setting, content []byte) {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var first, more map[string]any
	_ = documents.Decode(&first) // it is the toolkit that judges it
	if users, ok := first["basic_auth_users"]; ok {
		if list, _ := users.(map[any]any); len(list) == 0 {
			v.problem(s, errors.New("basic_auth_users names nobody, which lets everybody in: is the file cut off?"),
				"name users, or take the key out")
		}
	}
	encryption, _ := first["tls_server_config"].(map[any]any)
	if names, ok := encryption["client_allowed_sans"]; ok {
		if list, _ := names.([]any); len(list) == 0 {
			v.problem(s, errors.New("client_allowed_sans names nobody: is the file cut off?"),
				"name who is let in, or take the key out, which lets in whatever client_ca has signed")
		}
	}
	if err := documents.Decode(&more); !errors.Is(err, io.EOF) {
		v.problem(s, errors.New("it has a second document, behind ---, which is not read"), "write all in one")
	}
}
