package clients

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"unicode"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Places says where addresses are, by a database in the .mmdb format.
// It is safe for concurrent use.
type Places struct {
	db   *maxminddb.Reader
	kind string
}

// OpenPlaces opens a database. It must have countries or autonomous systems, in the fields that
// MaxMind's and DB-IP's have. The caller closes it. The error names the file.
func OpenPlaces(path string) (*Places, error) {
	db, err := maxminddb.Open(path)
	return newPlaces(path, db, err)
}

// LoadPlaces is OpenPlaces for a program that must not wait for the disk later on, nor fall with a
// file that somebody cuts: it reads the whole file into memory.
func LoadPlaces(path string) (*Places, error) {
	var db *maxminddb.Reader
	b, err := os.ReadFile(path)
	if err == nil {
		db, err = maxminddb.OpenBytes(b)
	}
	return newPlaces(path, db, err)
}

func newPlaces(path string, db *maxminddb.Reader, err error) (*Places, error) {
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	kind := strings.ToLower(db.Metadata.DatabaseType)
	for _, known := range [...]string{"country", "city", "enterprise", "location", "asn", "isp"} {
		if !strings.Contains(kind, known) {
			continue
		}
		if known == "asn" || known == "isp" {
			return &Places{db, "asn"}, nil
		}
		return &Places{db, "country"}, nil
	}
	db.Close()
	return nil, fmt.Errorf("%q is a database of the type %q: take one of countries or of autonomous systems", path,
		db.Metadata.DatabaseType)
}

// Kind says what the places are: country or asn.
func (p *Places) Kind() string { return p.kind }

// Close releases the database.
func (p *Places) Close() error { return p.db.Close() }

// maxPlace is the longest name of a place, in bytes.
const maxPlace = 64

// Of returns the place of an address: a country's code such as DE, or an autonomous system such as
// "AS64496 Example". It is empty where the database knows nothing.
func (p *Places) Of(a netip.Addr) string {
	var r struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Registered struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"registered_country"`
		Code         string `maxminddb:"country_code"`
		Number       uint32 `maxminddb:"autonomous_system_number"`
		Organization string `maxminddb:"autonomous_system_organization"`
	}
	if err := p.db.Lookup(a.Unmap().WithZone("")).Decode(&r); err != nil {
		return "" // it is damaged there, and nothing else depends on it
	}
	for _, code := range [...]string{r.Country.Code, r.Code, r.Registered.Code} {
		if code != "" {
			return place(code)
		}
	}
	if r.Number == 0 {
		return ""
	}
	return place(strings.TrimSpace(fmt.Sprintf("AS%d %s", r.Number, r.Organization)))
}

// place makes a name that can be shown of what stands in a database.
func place(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if len(s) > maxPlace {
		s = strings.ToValidUTF8(s[:maxPlace], "")
	}
	return s
}
