package backups_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests name zones

	"rsyncd_exporter/backups"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func schedule(t testing.TB, text, zoneName string) *backups.Schedule {
	t.Helper()
	s, err := backups.ParseSchedule(text, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The changes of 2026, by hand: Berlin at 01:00 UTC on 29 March (02:00 becomes 03:00) and 25 October (03:00 becomes 02:00); New York at
// 02:00 on 8 March and 1 November; Lord Howe, half an hour, on 5 April (02:00 becomes 01:30) and 4 October (02:00 becomes 02:30).
func TestSchedulesOverChangesOfTheClocks(t *testing.T) {
	for _, c := range []struct{ name, spec, zone, from, want string }{
		{"Berlin skips 02:30", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "03-28T01:30 03-29T01:00 03-30T00:30"},
		{"Berlin has 02:30 twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", "10-24T00:30 10-25T00:30 10-26T01:30"},
		{"Berlin, just before the second 02:30", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:29:59Z", "10-26T01:30"},
		{"Berlin, 03:00 itself", "0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "03-29T01:00 03-30T01:00"},
		{"Berlin, one run at a time that is two", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "03-29T01:00 03-30T00:00"},
		{"Berlin, every hour in spring", "0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", "03-29T00:00 03-29T01:00 03-29T02:00"},
		{"Berlin, every hour in autumn", "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "10-25T00:00 10-25T01:00 10-25T02:00"},
		{"Berlin, every second hour", "0 */2 * * *", "Europe/Berlin", "2026-10-24T21:59:00Z", "10-24T22:00 10-25T00:00 10-25T03:00"},
		{"New York skips 02:15", "15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "03-08T07:00 03-09T06:15"},
		{"New York has 01:15 twice", "15 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "11-01T05:15 11-02T06:15"},
		{"Lord Howe skips 02:15", "15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00:00Z", "10-03T15:30 10-04T15:15"},
		{"Lord Howe has 01:45 twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-03T16:00:00Z", "04-04T14:45 04-05T15:15"},
		{"Lord Howe, 02:00 after the change", "0 2 * * *", "Australia/Lord_Howe", "2026-04-03T16:00:00Z", "04-04T15:30 04-05T15:30"},
		{"a leap day", "0 4 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T04:00"},
		{"day of month or of week, as in crontab(5)", "0 0 13 * fri", "UTC", "2026-11-01T00:00:00Z", "11-06T00:00 11-13T00:00 11-20T00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := schedule(t, c.spec, c.zone)
			at, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range strings.Fields(c.want) {
				at = s.Next(at)
				got = append(got, strings.TrimPrefix(at.UTC().Format("2006-01-02T15:04"), "2026-"))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("due at %v (UTC), want %s", got, c.want)
			}
		})
	}
}

// In each zone a run of a time of day takes place once on each day of the year, whichever the time is.
func TestADailyRunTakesPlaceOnceADay(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		z := zone(t, name)
		for minute := 0; minute < 24*60; minute += 15 {
			s := schedule(t, fmt.Sprintf("%d %d * * *", minute%60, minute/60), name)
			at := time.Date(2025, 12, 31, 23, 59, 59, 0, z)
			for day := range 365 {
				at = s.Next(at)
				if want := time.Date(2026, 1, 1+day, 12, 0, 0, 0, z); at.In(z).YearDay() != want.YearDay() {
					t.Fatalf("%s, %02d:%02d: due on %v, and the day is %v", name, minute/60, minute%60, at.In(z), want)
				}
			}
		}
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("30 2 * * *", "Europe/Berlin", int64(1774656000))
	f.Add("*/15 * * * *", "Australia/Lord_Howe", int64(1775318400))
	f.Add("@weekly", "America/New_York", int64(0))
	f.Add("0 0 29 2 1-5/2", "UTC", int64(-1))
	f.Fuzz(func(t *testing.T, text, zoneName string, from int64) {
		z, err := time.LoadLocation(zoneName)
		if err != nil || from < -1<<31 || from > 1<<32 {
			return
		}
		s, err := backups.ParseSchedule(text, z)
		if err != nil {
			return
		}
		start := time.Unix(from, 0)
		first := s.Next(start)
		if first.IsZero() {
			return // no such day for years, as 29 February on a Monday
		}
		if !first.After(start) || first.Second() != 0 && first.Unix() != instantOfChange(first, z) {
			t.Errorf("%q in %s: %v is due after %v", text, zoneName, first, start)
		}
		if again := s.Next(first.Add(-time.Second)); !again.Equal(first) {
			t.Errorf("%q in %s: %v is due after %v, and %v a second before it", text, zoneName, first, start, again)
		}
	})
}

// instantOfChange is when the clocks of a zone have last changed.
func instantOfChange(t time.Time, z *time.Location) int64 {
	begin, _ := t.In(z).ZoneBounds()
	return begin.Unix()
}

func TestWhatIsNoSchedule(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"0 0 30 2 *", "no such day"},
		{"0 25 * * *", "crontab(5)"},
		{"0 2 * *", "crontab(5)"},
		{"", "crontab(5)"},
		{"CRON_TZ=UTC 0 2 * * *", "timezone"},
		{"@every 1h", "every"},
	} {
		if _, err := backups.ParseSchedule(c.text, time.UTC); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error about %q", c.text, err, c.want)
		}
	}
	if s, err := backups.ParseSchedule("@daily", time.UTC); err != nil || s.String() != "@daily" {
		t.Errorf("@daily: %v, %v", s, err)
	}
}
