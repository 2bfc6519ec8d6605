package syslog

// Lengths that promises name.
const (
	DockerPart = dockerPart
	PartsLimit = partsLimit
)
