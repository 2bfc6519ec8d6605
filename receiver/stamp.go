package receiver

// Stamps reads time stamps as they stand in headers. It remembers the last one, as most lines bear the one of the line before.
// Not safe for concurrent use. The zero value is usable.
type Stamps struct{}

// Time returns the time that a Message.Stamp says, in nanoseconds of the Unix epoch. zoned says that the stamp names its own time zone;
// without one it is taken for this machine's. A stamp without a year gets the year that brings it closest to arrived. ok is false for no
// stamp, and for one that is no time. It does not allocate.
func (s *Stamps) Time(stamp []byte, arrived int64) (at int64, zoned, ok bool) { return 0, false, false }
