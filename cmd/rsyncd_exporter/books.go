package main

import (
	"time"

	"rsyncd_exporter/backups"
	"rsyncd_exporter/clients"
	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/status/recent"
	"rsyncd_exporter/status/sessionlog"
)

// serveConfig is pipelineConfig with all books.
func serveConfig(cfg *config.Config) pipeline.Config {
	c := pipelineConfig(cfg)
	c.Books = func(from *pipeline.Checkpoint) pipeline.Books { return newBooks(cfg, from) }
	return c
}

// newBooks returns what serve keeps besides the counters, from where a Checkpoint left it.
func newBooks(cfg *config.Config, from *pipeline.Checkpoint) pipeline.Books {
	if from == nil {
		from = &pipeline.Checkpoint{}
	}
	return pipeline.Books{
		Clients: clients.NewBook(from.Clients),
		Backups: backups.NewBook(cfg.Expected, from.Backups, time.Now().UnixNano()),
		Recent:  recent.NewBook(),
		Ended:   sessionlog.NewQueue(from.Ended),
	}
}

// records returns the books of clients and backups as a scrape shows them.
func (pr *program) records() (*clients.Record, *backups.Record) {
	if pr.persist == nil {
		return pr.pipeline.Records()
	}
	shown, _ := pr.persist.shownLast()
	return shown.clients, shown.backups
}

// backups judges the expected backups by what a scrape shows.
func (pr *program) backups() []backups.Status {
	_, known := pr.records()
	return known.List(pr.cfg.Expected, time.Now())
}
