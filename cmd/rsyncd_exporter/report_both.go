package main

import (
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// both are two books of the same logs.
type both [2]logs.Book

// Begin implements logs.Book.
func (b both) Begin(s *logs.Set) {
	b[0].Begin(s)
	b[1].Begin(s)
}

// Line implements logs.Book.
func (b both) Line(at logs.Place, l *pipeline.Line) {
	b[0].Line(at, l)
	b[1].Line(at, l)
}

// Lost implements logs.Book.
func (b both) Lost(at logs.Place, reason receiver.Discard, n uint64) {
	b[0].Lost(at, reason, n)
	b[1].Lost(at, reason, n)
}

// Ended implements logs.Book.
func (b both) Ended(changes []rsynclog.Change) {
	b[0].Ended(changes)
	b[1].Ended(changes)
}

// Running implements logs.Book.
func (b both) Running(s *rsynclog.Session) {
	b[0].Running(s)
	b[1].Running(s)
}
