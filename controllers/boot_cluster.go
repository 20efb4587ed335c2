// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

// bootTimeout bounds one request to the API server.
const bootTimeout = 10 * time.Second

// apiBoots is the bootSink of a cluster. It lives as long as a manager.
type apiBoots struct {
	reporter *BootReporter
	client   client.Client
	events   eventRecorder

	mu    sync.Mutex
	ahead map[index.Key]*v1alpha1.Machine // as this process wrote them, while the cache is behind
}

// reportBoots writes what became of boots until ctx ends, and tells the recorder what other pods write. The cache of mgr is
// synced.
func (p *Pod) reportBoots(ctx context.Context, mgr ctrl.Manager, events eventRecorder) error {
	sink := &apiBoots{reporter: p.Boots, client: mgr.GetClient(), events: events, ahead: map[index.Key]*v1alpha1.Machine{}}
	informer, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.Machine{})
	if err != nil {
		return fmt.Errorf("follow the boots that other pods serve: %w", err)
	}
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			sink.found(o)
			sink.seen(o)
		},
		UpdateFunc: func(before, o any) {
			sink.replaced(before, o)
			sink.seen(o)
		},
		DeleteFunc: sink.gone,
	})
	if err != nil {
		return fmt.Errorf("follow the boots that other pods serve: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(handler) }() // it fails only when the informer has ended
	return p.Boots.report(ctx, sink)
}

// seen takes in a Machine as the API server has it.
func (s *apiBoots) seen(o any) {
	m, ok := o.(*v1alpha1.Machine)
	if !ok {
		return
	}
	key := keyOf(m)
	s.mu.Lock()
	if ours := s.ahead[key]; ours != nil && !newer(ours, m) {
		delete(s.ahead, key)
	}
	s.mu.Unlock()
	if b := m.Status.LastBoot; b != nil && s.reporter.learner != nil && !s.reporter.isOwn(key, markOf(b)) {
		s.reporter.learner.Learn(attemptOf(key, b))
	}
}

// found takes in a Machine that is seen for the first time by a manager. What the ledger knows may be of an earlier one of its
// name, which was deleted while this process did not run.
func (s *apiBoots) found(o any) {
	m, ok := o.(*v1alpha1.Machine)
	if !ok {
		return
	}
	book, key := s.reporter.options.Ledger, keyOf(m)
	e := book.Entry(ledger.Boot{Machine: key, BootID: m.Spec.BootID})
	switch {
	case !e.Completed.IsZero():
		if !e.Completed.Before(m.CreationTimestamp.Time) {
			return
		}
	case e.Unwritten > 0 || e.Boots <= bootsOf(m, m.Spec.BootID):
		return
	}
	book.Forget(key) // what is true of it stands in the status
}

// replaced takes in a change: after a watch was interrupted, a Machine that was made anew meanwhile comes as one.
func (s *apiBoots) replaced(before, after any) {
	was, ok := before.(*v1alpha1.Machine)
	is, ok2 := after.(*v1alpha1.Machine)
	if ok && ok2 && was.UID != is.UID {
		s.forget(keyOf(is))
	}
}

// gone takes in that a Machine was deleted.
func (s *apiBoots) gone(o any) {
	if lost, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = lost.Obj
	}
	if m, ok := o.(*v1alpha1.Machine); ok {
		s.forget(keyOf(m))
	}
}

func (s *apiBoots) forget(key index.Key) {
	s.mu.Lock()
	delete(s.ahead, key)
	s.mu.Unlock()
	s.reporter.forget(key)
}

// newer says whether a is a later state of the same object than b. What can't be told is not.
func newer(a, b *v1alpha1.Machine) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && a.UID == b.UID && order > 0
}

// get returns a Machine as it was last known, for the caller to change.
func (s *apiBoots) get(ctx context.Context, key index.Key) (*v1alpha1.Machine, error) {
	m := &v1alpha1.Machine{}
	if err := s.client.Get(ctx, objectKey(key), m); err != nil {
		return nil, fmt.Errorf("get Machine %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ours := s.ahead[key]; ours != nil && newer(ours, m) {
		return ours.DeepCopy(), nil
	}
	return m, nil
}

// write implements bootSink.
func (s *apiBoots) write(ctx context.Context, b queuedBoot) (bootResult, error) {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	m, err := s.get(ctx, b.machine)
	if apierrors.IsNotFound(err) {
		s.forget(b.machine) // it was deleted
		return bootUnchanged, nil
	} else if err != nil {
		return bootRefused, err // the cache never knows it
	}
	news := s.reporter.news(b, m.Spec.BootID)
	before := m.DeepCopy()
	memory := s.reporter.memory(b.machine)
	applyBoot(m, news, &memory)
	if equality.Semantic.DeepEqual(before.Status, m.Status) {
		s.reporter.wrote(memory, news, before, m)
		return bootUnchanged, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch err := s.client.Status().Patch(ctx, m, patch); {
	case err == nil:
	case apierrors.IsNotFound(err):
		return bootUnchanged, nil // the cache says so, too, in a moment
	case apierrors.IsConflict(err):
		s.mu.Lock()
		delete(s.ahead, b.machine) // somebody else wrote after this process
		s.mu.Unlock()
		return bootConflict, err
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return bootRefused, fmt.Errorf("patch status of Machine %s: %w", b.machine, err)
	default:
		return bootRetried, fmt.Errorf("patch status of Machine %s: %w", b.machine, err)
	}
	s.mu.Lock()
	s.ahead[b.machine] = m
	s.mu.Unlock()
	s.reporter.wrote(memory, news, before, m)
	s.events.bootChanged(m, before)
	return bootWritten, nil
}

func objectKey(key index.Key) client.ObjectKey {
	namespace, name, _ := strings.Cut(string(key), "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// bootChanged records that a Machine has booted, or why it has not, and that it is held. Not each stage: those stand in the
// status.
func (r eventRecorder) bootChanged(m, before *v1alpha1.Machine) {
	for _, e := range bootEvents(m, before) {
		r.record(m, kindMachine, e.Type, e.Reason, e.Action, e.Note)
	}
}

// A bootEvent is an Event about a boot.
type bootEvent struct{ Type, Reason, Action, Note string }

// bootEvents returns what there is to tell people about a change.
func bootEvents(m, before *v1alpha1.Machine) []bootEvent {
	var events []bootEvent
	was, is := condition(before, v1alpha1.ConditionBooted), condition(m, v1alpha1.ConditionBooted)
	another := before.Status.LastBoot == nil || m.Status.LastBoot != nil && !m.Status.LastBoot.StartTime.Equal(&before.Status.LastBoot.StartTime)
	ended := m.Status.LastBoot != nil && m.Status.LastBoot.Action != v1alpha1.BootActionBootLocal && m.Status.LastBoot.EndTime != nil &&
		(another || before.Status.LastBoot.EndTime == nil)
	switch changed := was.Reason != is.Reason; {
	case is.Status == metav1.ConditionTrue && (changed || ended && m.Status.LastBoot.Stage == string(attempt.StageDone)):
		events = append(events, bootEvent{corev1.EventTypeNormal, v1alpha1.ConditionBooted, "CompleteBoot", bootNote(m, is.Message)})
	case (is.Reason == v1alpha1.ReasonBootStopped || is.Reason == v1alpha1.ReasonBootFailed) && (changed || ended || was.Message != is.Message):
		// The cause is the action: of two Events that differ in the note only, the second would be lost.
		events = append(events, bootEvent{corev1.EventTypeWarning, is.Reason, actionOf(m.Status.LastBoot), bootNote(m, is.Message)})
	}
	wasHeld := condition(before, v1alpha1.ConditionNetbootArmed).Reason == v1alpha1.ReasonHeldBootLoop
	if is := condition(m, v1alpha1.ConditionNetbootArmed); is.Reason == v1alpha1.ReasonHeldBootLoop && !wasHeld {
		events = append(events, bootEvent{corev1.EventTypeWarning, is.Reason, "HoldMachine", is.Message})
	}
	return events
}

func actionOf(b *v1alpha1.LastBoot) string {
	if b.Cause == "" {
		return "Boot"
	}
	return b.Cause
}

// bootNote adds which boot a message is about.
func bootNote(m *v1alpha1.Machine, message string) string {
	b := m.Status.LastBoot
	if b == nil || b.BootID == "" {
		return message
	}
	return fmt.Sprintf("%s (bootID %s)", message, b.BootID)
}

// condition returns a condition of a Machine, or the zero value.
func condition(m *v1alpha1.Machine, conditionType string) metav1.Condition {
	if c := meta.FindStatusCondition(m.Status.Conditions, conditionType); c != nil {
		return *c
	}
	return metav1.Condition{}
}
