package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"rsyncd_exporter/internal/config"
	"rsyncd_exporter/internal/text"
	"rsyncd_exporter/pipeline"
	"rsyncd_exporter/receiver/stream"
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/report/logs"
	"rsyncd_exporter/rsynclog"
)

// collectForOldLogs makes Go collect garbage seldom at first, and as often as need be once a command
// that reads old logs comes near 64 MiB. GOGC and GOMEMLIMIT override it.
func collectForOldLogs() {
	const seldom, limit = 400, 44 << 20
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(seldom)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// oldLogs is what report, explain and backfill read, and how.
type oldLogs struct {
	config logs.Config
	cfg    *config.Config
	paths  []string
	zone   string  // --timezone
	unread []error // what complain has told
}

// parse reads the arguments of a command that takes old logs. own adds its flags; these are set
// when parse returns. The error joins everything that is wrong with the arguments; it is
// flag.ErrHelp where they ask for help. paths may be empty.
func (o *oldLogs) parse(args []string, std stdio, own func(*flag.FlagSet)) error {
	cfg, paths, err := config.Logs(args, func(fs *flag.FlagSet) {
		fs.StringVar(&o.zone, "timezone", "", "")
		own(fs)
	})
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	var zone *time.Location
	if o.zone != "" {
		var zerr error
		if zone, zerr = time.LoadLocation(o.zone); zerr != nil {
			err = errors.Join(err, fmt.Errorf("--timezone=%q is not a time zone that this machine knows: write "+
				"UTC, or a name such as Europe/Berlin", o.zone))
		}
	}
	if err != nil {
		return err
	}
	lines, err := syslog.ParseLineFormat(cfg.LineFormat)
	if err != nil {
		return err
	}
	limits := rsynclog.DefaultLimits()
	limits.TTL = cfg.SessionTTL
	o.cfg, o.paths = cfg, paths
	o.config = logs.Config{
		Pipeline: pipeline.Config{LogFormat: cfg.LogFormat, ModuleFormats: cfg.ModuleFormats, Tags: cfg.Tags,
			Modules: cfg.Modules, Hosts: cfg.Hosts, Limits: limits},
		Lines: lines, Wrapped: cfg.SyslogLogLines, FileHost: cfg.FileHost, Zone: zone, Now: time.Now(),
		Stdin: std.in, Wait: stream.Wait,
	}
	return nil
}

// find returns the logs, and tells on standard error what can't be read.
func (o *oldLogs) find(std stdio) (sets []logs.Set, ok bool) {
	sets, errs := logs.Find(o.config, o.paths)
	o.complain(std, errs)
	return sets, len(errs) == 0
}

// complain tells on standard error what could not be read.
func (o *oldLogs) complain(std stdio, errs []error) {
	o.unread = append(o.unread, errs...)
	for _, err := range errs {
		fmt.Fprintf(std.err, "rsyncd_exporter: %s\n", text.OneLine(err))
	}
}
