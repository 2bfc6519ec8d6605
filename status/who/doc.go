// Package who shows who is connected.
package who
