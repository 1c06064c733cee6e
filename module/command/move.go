package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-callback/caddy-callback/module/app"
	"github.com/caddy-callback/caddy-callback/module/store"
	"github.com/caddy-callback/caddy-callback/module/store/archive"
)

func exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export <file>",
		Short: "Writes everything that is in a store into a file, while no Caddy uses it",
		Long: `
Writes everything that is in a store into a file, which must not exist: callbacks,
what they are judged by, and bodies. The store is the one in the configuration
that --config names. No Caddy may use it meanwhile.

The file is not encrypted. A secret that the store keeps itself is in it: whoever
has the file can then call all callbacks.
`,
		Args: cobra.ExactArgs(1),
		RunE: withStore(exportTo),
	}
}

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import <file>",
		Short: "Puts what export has written into another store, while no Caddy uses that",
		Long: `
Puts what export has written into the store in the configuration that --config
names. No Caddy may use it meanwhile. Nothing is changed unless the file is whole
and the store can take everything. If import is interrupted, repeat it: what is
there already is left alone.
`,
		Args: cobra.ExactArgs(1),
		RunE: withStore(importFrom),
	}
}

// move is a command that works on a store, and not on a running Caddy.
type move struct {
	file   string
	opener store.Opener
	log    *zap.Logger
	// failed says that the store has reported an error.
	failed *atomic.Bool
}

// withStore turns a command's function into one that cobra can call. What the function returns
// is printed.
func withStore(do func(ctx context.Context, m *move) (fmt.Stringer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		config, _ := cmd.Flags().GetString("config")
		adapter, _ := cmd.Flags().GetString("adapter")
		loaded, _, _, err := caddycmd.LoadConfig(config, adapter)
		if err != nil {
			return err
		}
		if loaded == nil {
			return errors.New("there is no configuration; name with --config the one that Caddy runs with, which says where the store is")
		}
		m := &move{file: args[0], failed: new(atomic.Bool)}
		m.log = reporter(cmd.ErrOrStderr(), m.failed)
		if m.opener, err = app.Opener(loaded); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		done, err := do(ctx, m)
		if done != nil {
			err = errors.Join(err, report(cmd, done))
		}
		return err
	}
}

// report prints what was done.
func report(cmd *cobra.Command, done fmt.Stringer) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), done)
	return err
}

// reporter returns a log that shows warnings and errors, and notes errors.
func reporter(to io.Writer, failed *atomic.Bool) *zap.Logger {
	encoding := zap.NewDevelopmentEncoderConfig()
	encoding.TimeKey, encoding.CallerKey, encoding.StacktraceKey = "", "", ""
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.Lock(zapcore.AddSync(to)), zapcore.WarnLevel)
	return zap.New(zapcore.RegisterHooks(core, func(e zapcore.Entry) error {
		if e.Level >= zapcore.ErrorLevel {
			failed.Store(true)
		}
		return nil
	}))
}

// open opens the store with the function, as one whose callbacks can be moved.
func (m *move) open(with func(*zap.Logger) (store.Store, error)) (store.Movable, error) {
	s, err := with(m.log)
	if err != nil {
		return nil, err
	}
	movable, ok := s.(store.Movable)
	if !ok {
		return nil, errors.Join(fmt.Errorf("callbacks cannot be moved out of or into %T", s), s.Close())
	}
	return movable, nil
}

// errReported: the store has said itself what is wrong.
var errReported = errors.New("the store has reported errors, and may not have shown everything that is in it; see above")

// exported is what an export has done.
type exported struct {
	archive.Counts
	File string `json:"file"`
}

func (e exported) String() string {
	return fmt.Sprintf("%s has %d callbacks, with %d bodies in files of their own (%d bytes).", e.File, e.Callbacks, e.Bodies, e.Bytes)
}

// exportTo writes a store into a file.
func exportTo(ctx context.Context, m *move) (fmt.Stringer, error) {
	open := m.opener.Open
	if r, ok := m.opener.(store.Reopener); ok {
		open = r.OpenExisting
	}
	s, err := m.open(open)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(m.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	counts, err := archive.Export(ctx, s, f)
	if err == nil {
		err = f.Sync()
	}
	for _, end := range []func() error{f.Close, s.Close} {
		if endErr := end(); err == nil {
			err = endErr
		}
	}
	if err == nil && m.failed.Load() {
		err = errReported
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(m.file))
	}
	return exported{counts, m.file}, nil
}

// imported is what an import has done.
type imported struct{ archive.Imported }

func (i imported) String() string {
	text := fmt.Sprintf("%d callbacks were imported, with %d bodies in files of their own (%d bytes).", i.Callbacks, i.Bodies, i.Bytes)
	if i.Already > 0 {
		text += fmt.Sprintf(" %d were there already.", i.Already)
	}
	return text
}

// importFrom puts what is in a file into a store.
func importFrom(ctx context.Context, m *move) (fmt.Stringer, error) {
	f, err := os.Open(m.file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a file", m.file))
	}
	s, err := m.open(m.opener.Open)
	if err != nil {
		return nil, err
	}
	done, err := archive.Import(ctx, s, f)
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return imported{done}, nil
	}
	err = fmt.Errorf("importing %s: %w", m.file, err)
	if done.Callbacks == 0 {
		return nil, err
	}
	return imported{done}, fmt.Errorf("%w. Repeat the import to complete it: what is there already is left alone", err)
}
