package quoted

import "io"

const (
	// least is the size of the smallest piece that both halves can be made of.
	least = 16
	// mostEmpty is how many readings in a row may bring nothing.
	mostEmpty = 100
)

// pieces reads a body and quotes it, a piece at a time.
type pieces struct {
	body io.Reader
	// in[begin:end] is read and not quoted yet; out takes what is quoted.
	in, out    []byte
	begin, end int
	// size is how many bytes were read, and ended says that these are all.
	size  int64
	ended bool
}

// newPieces returns the pieces of a body. One half of piece takes what is read, the other
// half what is quoted.
func newPieces(body io.Reader, piece []byte) pieces {
	if len(piece) < least {
		piece = make([]byte, least)
	}
	half := len(piece) / 2
	return pieces{body: body, in: piece[:half], out: piece[half:]}
}

// next returns the next bytes of the quoted body, which are valid until it is called
// again. After the last ones there are none.
func (p *pieces) next(quote quoting) ([]byte, error) {
	for {
		written, read, err := quote(p.out, p.in[p.begin:p.end], p.ended)
		p.begin += read
		if err != nil || written > 0 || p.ended {
			return p.out[:written], err
		}
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
}

// skip reads the rest of the body.
func (p *pieces) skip() error {
	for !p.ended {
		p.begin = p.end
		if err := p.fill(); err != nil {
			return err
		}
	}
	return nil
}

// fill reads more of the body, or learns that there is no more.
func (p *pieces) fill() error {
	p.begin, p.end = 0, copy(p.in, p.in[p.begin:p.end])
	for range mostEmpty {
		n, err := p.body.Read(p.in[p.end:])
		p.end += n
		p.size += int64(n)
		p.ended = err == io.EOF
		switch {
		case err != nil && err != io.EOF:
			return err
		case n > 0 || p.ended:
			return nil
		}
	}
	return io.ErrNoProgress
}
