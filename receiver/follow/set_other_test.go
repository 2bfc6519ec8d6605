//go:build unix && !linux

package follow

import "errors"

func bindMount(_, _ string) error { return errors.ErrUnsupported }

func unmount(string) error { return nil }
