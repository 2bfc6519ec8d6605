package main

import (
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
	c.Books = newBooks
	return c
}

// newBooks returns what serve keeps besides the counters, from where a Checkpoint left it.
func newBooks(from *pipeline.Checkpoint) pipeline.Books {
	if from == nil {
		from = &pipeline.Checkpoint{}
	}
	return pipeline.Books{
		Clients: clients.NewBook(from.Clients),
		Backups: backups.NewBook(from.Backups),
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
