//go:build unix && !linux

package follow

import "context"

// A notifier is for Linux only. Elsewhere files are polled.
type notifier struct{}

func newNotifier(chan struct{}, int) *notifier { return nil }

func (*notifier) watchDirs(...string) {}

func (*notifier) watchFile(int, chan struct{}) int32 { return -1 }

func (*notifier) unwatchFile(int32) {}

func (*notifier) run(context.Context) {}

func (*notifier) close() {}
