package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// The parties of the measure "pair" speak HTTP/1.1 written by hand, so that the processors are
// the servers'.

// wire is a connection over which one request follows the other.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// dialWire connects to an address.
func dialWire(address string) (*wire, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReader(conn)}, nil
}

// post sends a body, and expects that status.
func (w *wire) post(path string, body []byte, want int) error {
	w.out = fmt.Appendf(w.out[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", path, w.conn.RemoteAddr(), len(body))
	w.out = append(w.out, body...)
	if _, err := w.conn.Write(w.out); err != nil {
		return err
	}
	line, m, err := readMessage(w.in)
	if err != nil {
		return err
	}
	_, status, _ := bytes.Cut(line, []byte(" "))
	if len(status) < 3 || string(status[:3]) != strconv.Itoa(want) {
		return fmt.Errorf("%s was answered %q", path, line)
	}
	_, err = w.in.Discard(m.length)
	return err
}

// message is what is read of a head.
type message struct {
	// length is that of the body.
	length int
	// callback is the URL that the plugin has put in.
	callback string
}

// readMessage reads a first line, which can be used until more is read, and a head.
func readMessage(in *bufio.Reader) (line []byte, m message, err error) {
	if line, err = in.ReadSlice('\n'); err != nil {
		return nil, m, err
	}
	line = bytes.Clone(bytes.TrimRight(line, "\r\n"))
	for {
		field, err := in.ReadSlice('\n')
		if err != nil {
			return nil, m, err
		}
		name, value, _ := bytes.Cut(bytes.TrimRight(field, "\r\n"), []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case len(name) == 0:
			return line, m, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if m.length, err = strconv.Atoi(string(value)); err != nil {
				return nil, m, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return nil, m, errors.New("a message has no length")
		case bytes.EqualFold(name, []byte("X-Link-Callback-Url")):
			m.callback = string(value)
		}
	}
}

// wireUpstream acks requests with 202 and hands their callback URLs over. What comes for /app it
// answers with 200 and a body.
type wireUpstream struct {
	listener net.Listener
	calls    chan string
	ack, app []byte
}

// listenWire starts an upstream. calls takes the callback URLs.
func listenWire(body []byte, calls chan string) (*wireUpstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &wireUpstream{listener: l, calls: calls, ack: []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")}
	u.app = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(conn)
		}
	}()
	return u, nil
}

func (u *wireUpstream) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		line, m, err := readMessage(in)
		if err == nil {
			_, err = in.Discard(m.length)
		}
		if err != nil {
			return
		}
		answer := u.ack
		if bytes.HasPrefix(line, []byte("POST /app ")) {
			answer = u.app
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
		if m.callback != "" {
			u.calls <- m.callback
		}
	}
}
