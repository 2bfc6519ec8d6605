package web

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v2"
)

// wholeWebConfig says what exporter-toolkit passes over in a web configuration file that it accepts, and that then lets
// everybody in.
func wholeWebConfig(content []byte) error {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var first struct {
		Users map[string]any `yaml:"basic_auth_users"`
		TLS   map[string]any `yaml:"tls_server_config"`
	}
	var keys, more map[string]any
	if err := yaml.Unmarshal(content, &keys); err != nil {
		return err
	}
	if err := documents.Decode(&first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, given := keys["basic_auth_users"]; given && len(first.Users) == 0 {
		return errors.New("basic_auth_users names nobody, which lets everybody in: " +
			"name users, or take the key out, unless the file is cut off")
	}
	if names, given := first.TLS["client_allowed_sans"]; given {
		if list, _ := names.([]any); len(list) == 0 {
			return errors.New("client_allowed_sans names nobody, which lets every certificate in: " +
				"give names, or take the key out, unless the file is cut off")
		}
	}
	if err := documents.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("it has a second document, behind ---, which is not read: write all in one")
	}
	return nil
}
