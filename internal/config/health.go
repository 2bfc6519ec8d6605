package config

import (
	"errors"
	"flag"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"rsyncd_exporter/internal/web"
)

// HealthURL returns the address of --url, or of the health page of an exporter with these settings.
// Only HTTP_LISTEN and WEB_CONFIG matter.
func HealthURL(args []string) (target string, err error) {
	v := newValidator()
	v.settings.readEnvironment() // serve reports unknown variables
	v.parseFlags(args, func(fs *flag.FlagSet) { fs.StringVar(&target, "url", "", "address to ask") })
	if slices.Contains(v.problems, flag.ErrHelp) {
		return "", flag.ErrHelp
	}
	if target == "" {
		target = v.healthURL()
	}
	return target, errors.Join(v.problems...)
}

// ExporterURLs returns the addresses of --url, which may be repeated, or that of an exporter with
// these settings, of which only HTTP_LISTEN and WEB_CONFIG matter. own adds the command's flags.
func ExporterURLs(args []string, own func(*flag.FlagSet)) (urls []string, err error) {
	v := newValidator()
	v.settings.readEnvironment() // serve reports unknown variables
	v.parseFlags(args, func(fs *flag.FlagSet) {
		fs.Func("url", "address to ask", func(url string) error {
			urls = append(urls, url)
			return nil
		})
		own(fs)
	})
	if slices.Contains(v.problems, flag.ErrHelp) {
		return nil, flag.ErrHelp
	}
	if len(urls) == 0 {
		urls = []string{v.exporterURL("")}
	}
	return urls, errors.Join(v.problems...)
}

func (v *validator) healthURL() string { return v.exporterURL("/-/healthy") }

func (v *validator) exporterURL(path string) string {
	listen, config := v.settings.get("HTTP_LISTEN"), v.settings.get("WEB_CONFIG")
	host, port, err := net.SplitHostPort(v.address(listen))
	if err != nil {
		return "" // address has noted it
	}
	if port == "0" {
		v.problem(listen, errors.New("port 0 stands for any free port"), "use --url=http://127.0.0.1:PORT"+path)
	}
	switch ip, _ := netip.ParseAddr(host); {
	case host == "" || ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case ip == netip.IPv6Unspecified():
		host = "::1"
	}
	scheme := "http"
	if config.Value != "" {
		encrypted, err := web.IsEncrypted(config.Value)
		if err != nil {
			v.problem(config, err, "see rsyncd_exporter check")
		}
		if encrypted {
			scheme = "https"
		}
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: path}).String()
}
