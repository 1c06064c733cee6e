package answer

import (
	"context"
	"encoding/json"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/quoted"
	"github.com/caddy-callback/caddy-callback/module/store"
)

// status is the status of a callback as its ticket shows it.
type status struct {
	ID              callback.UUID   `json:"id"`
	Phase           callback.Phase  `json:"phase"`
	CorrelationID   string          `json:"correlationId"`
	Name            string          `json:"name,omitempty"`
	CreatedAt       callback.Time   `json:"createdAt"`
	ExpiresAt       callback.Time   `json:"expiresAt"`
	FinishedAt      *callback.Time  `json:"finishedAt,omitempty"`
	DocumentStatus  string          `json:"documentStatus,omitempty"`
	TechnicalStatus string          `json:"technicalStatus,omitempty"`
	ErrorCode       string          `json:"errorCode,omitempty"`
	ErrorText       string          `json:"errorText,omitempty"`
	ResultURL       string          `json:"resultUrl,omitempty"`
	BodiesGone      bool            `json:"bodiesGone,omitempty"`
	Job             *jobStatus      `json:"job,omitempty"`
	Step            *stepStatus     `json:"step,omitempty"`
	Delivery        *deliveryStatus `json:"delivery,omitempty"`
}

// jobStatus is background work that is still to be done. The ticket does not show why an
// attempt has failed, because the error may name servers behind Caddy.
type jobStatus struct {
	Block         callback.Block `json:"block"`
	Attempts      int            `json:"attempts"`
	NextAttemptAt callback.Time  `json:"nextAttemptAt"`
	Error         string         `json:"error,omitempty"`
}

// deliveryStatus is the progress of the delivery of a result to the client's URL. The
// ticket shows only the state.
type deliveryStatus struct {
	State         string         `json:"state"`
	URL           string         `json:"url,omitempty"`
	Attempts      *int           `json:"attempts,omitempty"`
	NextAttemptAt *callback.Time `json:"nextAttemptAt,omitempty"`
	DeliveredAt   *callback.Time `json:"deliveredAt,omitempty"`
	Status        int            `json:"status,omitempty"`
	Error         string         `json:"error,omitempty"`
}

func newStatus(cb *engine.Callback) status {
	s := status{
		ID:            cb.ID,
		Phase:         cb.Phase,
		CorrelationID: cb.CorrelationID,
		Name:          cb.Name,
		CreatedAt:     cb.CreatedAt,
		ExpiresAt:     cb.ExpiresAt,
		FinishedAt:    orNever(cb.FinishedAt),
		ResultURL:     cb.ResultURL(),
		BodiesGone:    cb.Stripped(),
	}
	if f := cb.Failure; f != nil {
		s.DocumentStatus, s.TechnicalStatus = f.DocumentStatus, f.TechnicalStatus
		s.ErrorCode, s.ErrorText = f.ErrorCode, f.ErrorText
	}
	if j := cb.Job; j != nil {
		s.Job = &jobStatus{Block: j.Block, Attempts: j.Attempts, NextAttemptAt: j.NextAt}
	}
	if !cb.Step.IsZero() {
		s.Step = &stepStatus{ID: cb.Step}
	}
	if d := cb.Delivery; d != nil {
		s.Delivery = &deliveryStatus{State: deliveryState(cb.Record)}
	}
	return s
}

// orNever returns the time, nil for never.
func orNever(t callback.Time) *callback.Time {
	if t == 0 {
		return nil
	}
	return &t
}

// States of a delivery.
const (
	deliveryPending   = "pending"
	deliveryDelivered = "delivered"
	// DeliveryDead is the state of a delivery that was given up.
	DeliveryDead = "dead"
)

func deliveryState(r *callback.Record) string {
	d := r.Delivery
	switch {
	case r.Phase == callback.Waiting:
		return deliveryPending
	case d.Dead:
		return DeliveryDead
	case d.Total > 0 && d.Done >= d.Total:
		return deliveryDelivered
	}
	return deliveryPending
}

// FullStatus is the status of a callback as the API shows it.
type FullStatus struct {
	status
	Calls      int                  `json:"calls"`
	LatestCall *CallDocument        `json:"latestCall,omitempty"`
	Data       json.RawMessage      `json:"data,omitempty"`
	History    []callback.Happening `json:"history,omitempty"`
}

// stepStatus is the callback whose end another one waits for.
type stepStatus struct {
	ID   callback.UUID `json:"id"`
	Name string        `json:"name,omitempty"`
}

// named adds the step's name, so that people see where a request stands.
func (s *stepStatus) named(ctx context.Context, e *engine.Engine) {
	if s == nil {
		return
	}
	if step, err := e.Find(ctx, store.ByID(s.ID)); err == nil {
		s.Name = step.Name
	}
}

// CallDocument is a call as the API shows it.
type CallDocument struct {
	callback.Document
	ReceivedAt callback.Time `json:"receivedAt"`
}

// NewFullStatus returns the status without the latest call, as lists have it. To whoever has
// shown a key it does not tell the result's URL, which opens without one, and still does when
// the key has been taken away.
func NewFullStatus(cb *engine.Callback, keyShown bool) FullStatus {
	s := FullStatus{status: newStatus(cb), Calls: cb.Calls}
	if keyShown {
		s.ResultURL = ""
	}
	if cb.Own != nil {
		s.Data = cb.Own.Data
	}
	if cb.Job != nil {
		s.Job.Error = cb.Job.Error
	}
	if d := cb.Delivery; d != nil {
		s.Delivery.URL, s.Delivery.Attempts = cb.DeliveryURL(), &d.Attempts
		s.Delivery.DeliveredAt, s.Delivery.Status, s.Delivery.Error = orNever(d.DeliveredAt), d.Status, d.Error
		if s.Delivery.State == deliveryPending && d.Total > d.Done {
			s.Delivery.NextAttemptAt = orNever(d.NextAt)
		}
	}
	return s
}

// latestCall returns the call that was taken last; nil if none was.
func latestCall(r *callback.Record) *callback.Call {
	if r.Latest != nil {
		// An accepted call clears it, so it is the later one.
		return r.Latest
	}
	return r.Call
}

// OpenStatus opens the status as JSON, as NewFullStatus returns it, with the latest call, the
// name of the step and the history.
func OpenStatus(ctx context.Context, e *engine.Engine, cb *engine.Callback, keyShown bool) (engine.Content, error) {
	return openStatus(ctx, e, cb, keyShown, e.History(cb))
}

// FullTag returns the entity tag of that status. It does not cover the history, of which each
// node sees something else: whoever waits for a change would be answered at once, over and over.
func FullTag(ctx context.Context, e *engine.Engine, cb *engine.Callback, keyShown bool) (string, error) {
	status, err := openStatus(ctx, e, cb, keyShown, nil)
	if err != nil {
		return "", err
	}
	tag, err := ContentTag(status)
	return weak + tag, err
}

func openStatus(ctx context.Context, e *engine.Engine, cb *engine.Callback, keyShown bool, history []callback.Happening) (engine.Content, error) {
	s := NewFullStatus(cb, keyShown)
	s.Step.named(ctx, e)
	s.History = history
	call := latestCall(cb.Record)
	if call == nil {
		call = new(callback.Call)
	}
	return e.Bodies(cb.ID).Document(context.WithoutCancel(ctx), call.Body, func(body *quoted.Body) any {
		if latestCall(cb.Record) != nil {
			s.LatestCall = &CallDocument{callback.NewDocument(call, body), call.ReceivedAt}
		}
		return s
	})
}
