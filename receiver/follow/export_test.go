package follow

// WithClock has a Set tell the time by another clock, which never goes back.
func (o SetOptions) WithClock(clock func() int64) SetOptions {
	o.clock = clock
	return o
}
