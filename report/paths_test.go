package report

import (
	"fmt"
	"testing"
)

func BenchmarkPathTopDistinct(b *testing.B) {
	paths := make([][]byte, 1<<20)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "pool/main/a/package-%d/package_%d.1-2_amd64.deb", i%5000, i)
	}
	p := newPathTop()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.add("debian", paths[i&(1<<20-1)], 1, 1000)
		i++
	}
}
