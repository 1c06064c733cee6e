package app

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-callback/caddy-callback/module/callback"
	"github.com/caddy-callback/caddy-callback/module/engine"
	"github.com/caddy-callback/caddy-callback/module/problem"
)

// metrics are the metrics of the process. They outlive configurations, each of which has
// a registry of its own, so that a reload resets nothing. No label holds an id: names come
// from the configuration, all other values from fixed lists.
type metrics struct {
	created    *prometheus.CounterVec
	ended      *prometheus.CounterVec
	timeToCall *prometheus.HistogramVec
	jobs       *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	unmatched  prometheus.Counter
	// unrecognized counts calls that mean neither success nor failure.
	unrecognized *prometheus.CounterVec
	gauges       *gauges
}

var measured = sync.OnceValue(newMetrics)

const metricsPrefix = "caddy_callback_"

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, labels)
	}
	m := &metrics{
		created: counter("created_total", "Callbacks that were made.", "name"),
		ended:   counter("ended_total", "Callbacks that have ended, by outcome.", "name", "outcome"),
		timeToCall: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricsPrefix + "time_to_call_seconds", Help: "Time from the creation of a callback to the call that was accepted.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600},
		}, []string{"name"}),
		jobs:         counter("job_attempts_total", "Attempts at background work, by outcome.", "name", "outcome"),
		deliveries:   counter("delivery_attempts_total", "Attempts to deliver a result, by outcome.", "name", "outcome"),
		refusals:     counter("refusals_total", "Requests and calls that were answered with a problem, by problem type.", "reason"),
		unrecognized: counter("unrecognized_calls_total", "Calls that mean neither success nor failure, though the configuration says what means which.", "name"),
		unmatched:    prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + "unmatched_calls_total", Help: "Calls to the fixed URL that belong to no callback."}),
		gauges:       newGauges(),
	}
	problem.Observe(func(slug string) { m.refusals.WithLabelValues(slug).Inc() })
	return m
}

// collectors lists all metrics.
func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.created, m.ended, m.timeToCall, m.jobs, m.deliveries, m.refusals, m.unmatched, m.unrecognized, m.gauges}
}

// register puts the metrics into the registry of a configuration.
func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range m.collectors() {
		var already prometheus.AlreadyRegisteredError
		if err := r.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// jobOutcomes and deliveryOutcomes are the values of the label outcome.
var (
	jobOutcomes = map[engine.Transition]string{
		engine.JobAccepted: "accepted", engine.JobPassedOn: "continued", engine.JobUnknown: "unknown", engine.JobRetried: "retried", engine.JobPolled: "polled", engine.JobEnded: "ended",
	}
	deliveryOutcomes = map[engine.Transition]string{engine.Delivered: "delivered", engine.DeliveryRetried: "retried", engine.DeliveryGivenUp: "given_up"}
)

// observe counts a transition.
func (m *metrics) observe(t engine.Transition, r *callback.Record, ended bool) {
	switch t {
	case engine.Unrecognized:
		m.unrecognized.WithLabelValues(r.Name).Inc()
		return
	case engine.Created:
		m.created.WithLabelValues(r.Name).Inc()
		return
	case engine.Called, engine.Resolved, engine.Failed:
		if r.Call != nil && (ended || t == engine.Called) {
			m.timeToCall.WithLabelValues(r.Name).Observe(r.Call.ReceivedAt.Time().Sub(r.CreatedAt.Time()).Seconds())
		}
	}
	if ended {
		m.ended.WithLabelValues(r.Name, r.Phase.String()).Inc()
	}
	if outcome, ok := jobOutcomes[t]; ok {
		m.jobs.WithLabelValues(r.Name, outcome).Inc()
	}
	if outcome, ok := deliveryOutcomes[t]; ok {
		m.deliveries.WithLabelValues(r.Name, outcome).Inc()
	}
}
