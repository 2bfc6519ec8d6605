package backups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// A Schedule is a line of crontab(5) without the command, in a time zone. A run at a time of day
// takes place once a day, also when the clocks change: when they show that time first, or when they
// are put forward past it. A run of every hour goes by the time that passes.
type Schedule struct {
	spec *cron.SpecSchedule // in UTC, which stands for what clocks show; of every hour, in the zone
	zone *time.Location
	text string
}

// everyHour is the hours of a cron.SpecSchedule that has them all.
const everyHour = 1<<24 - 1

// ParseSchedule reads five fields (minute, hour, day of month, month, day of week), or a word such
// as @daily.
func ParseSchedule(text string, zone *time.Location) (*Schedule, error) {
	if strings.Contains(text, "=") {
		return nil, errors.New("it names a time zone or a variable: the key timezone is for that")
	}
	parser, err := cron.TryNewParser(
		cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("no schedule as crontab(5) has it: %w", err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("no times of day: the key every is for intervals")
	}
	s := &Schedule{spec: spec, zone: zone, text: text}
	spec.Location = time.UTC
	if spec.Hour&everyHour == everyHour {
		spec.Location = zone
	}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return nil, errors.New("there is no such day")
	}
	return s, nil
}

// String returns the schedule as it was given.
func (s *Schedule) String() string { return s.text }

// Next returns when the first run after t is due. It is zero if there is none.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.spec.Location != time.UTC {
		return s.spec.Next(t.In(s.zone))
	}
	shown := wallClock(t.In(s.zone))
	for range maxSteps {
		if shown = s.spec.Next(shown); shown.IsZero() {
			return shown
		}
		if at := instant(shown, s.zone); at.After(t) { // what clocks show again is over
			return at
		}
	}
	return time.Time{}
}
