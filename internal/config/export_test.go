package config

// EmptyIs says what an empty list of the setting means; it is "" for a setting that is no list.
func (s Setting) EmptyIs() string { return string(s.list) }

// MaxSocketPath is the longest path of a unix socket.
const MaxSocketPath = maxSocketPath

// FromKubernetes says whether Kubernetes could have set a variable.
var FromKubernetes = fromKubernetes
