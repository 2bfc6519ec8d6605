// Package recent keeps what has happened lately, for people to look at.
package recent

import "rsyncd_exporter/rsynclog"

// A Book keeps what has happened lately. Whoever holds the pipeline's lock owns it.
type Book struct{}

// A Record is a copy of a Book. It shares no changing memory.
type Record struct{}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{} }

// Begin notes a session that runs, before the first change.
func (b *Book) Begin(_ *rsynclog.Session) {}

// Apply notes changes. now and wall are the present by the sessions' clock and by the wall clock.
func (b *Book) Apply(_ []rsynclog.Change, _, _ int64) {}

// Record copies everything.
func (b *Book) Record() *Record { return &Record{} }
