package testenv

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnThrownThread runs f on a thread that ends with it, and waits: what f changes about its thread,
// such as namespaces, is nobody else's. It is not the first thread, which doesn't end, and is what
// /proc/self shows.
func OnThrownThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done) // also when f ends by t.Fatal
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			OnThrownThread(f)
			runtime.UnlockOSThread()
			return
		}
		f() // the thread is never unlocked
	}()
	<-done
}
