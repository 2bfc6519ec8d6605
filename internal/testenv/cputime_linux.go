package testenv

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the processor time that f takes. Unlike the time on the clock it is not more where
// others have the processor meanwhile. What f leaves to other goroutines doesn't count.
func CPUTime(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	return threadTime() - before
}

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // it takes a kernel of before 2.6.12
	}
	return time.Duration(t.Nano())
}
