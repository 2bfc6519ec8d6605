package report

import (
	"time"

	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// Options say what a report is about.
type Options struct {
	Top           int            // entries of a top list
	Zone          *time.Location // of hours and days, and of the times shown
	Since, Until  time.Time      // zero: no bound
	Module        string         // likewise "" for the rest
	Direction     string
	Client        string // an address, a network prefix, or the beginning of a name
	User          string
	Now           time.Time
	SuggestExpect bool
}

// A Fold makes a Summary of lines. It implements logs.Book. Its memory is bounded.
type Fold struct {
	o Options
}

// NewFold returns a fold that has read nothing.
func NewFold(o Options) *Fold { return &Fold{o: o} }

// Begin implements logs.Book.
func (f *Fold) Begin(*logs.Set) {}

// Line implements logs.Book.
func (f *Fold) Line(logs.Place, *pipeline.Line) {}

// Lost implements logs.Book.
func (f *Fold) Lost(logs.Place, receiver.Discard, uint64) {}

// Ended implements logs.Book.
func (f *Fold) Ended([]rsynclog.Change) {}

// Running implements logs.Book.
func (f *Fold) Running(*rsynclog.Session) {}

// Summary returns what has been folded so far. The Fold can go on.
func (f *Fold) Summary() *Summary { return &Summary{Version: 1} }
