package follow

import (
	"testing"

	"rsyncd_exporter/receiver"
)

// While the Sink's state is copied no file changes hands: the lock under which it would is held.
func TestNoFileChangesHandsWhileTheStateIsCopied(t *testing.T) {
	s := followSet(t, newSetSink(), setOptions(t.TempDir()+"/a.log"))
	defer s.Close()
	copied := 0
	s.State(func() func(string, receiver.FileID) (receiver.FilePosition, bool) {
		copied++
		if s.mu.TryLock() { // nothing runs, so nobody else holds it
			s.mu.Unlock()
			t.Error("files may change hands while the Sink's state is copied")
		}
		return func(string, receiver.FileID) (receiver.FilePosition, bool) { return receiver.FilePosition{}, false }
	})
	if copied != 1 {
		t.Errorf("the Sink's state was copied %d times", copied)
	}
}
