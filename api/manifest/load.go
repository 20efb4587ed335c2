// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A Set holds the good objects of a folder, with defaults filled in, in the order of files and documents. Each has a
// namespace, generation 1, and of the metadata else what its manifest says: no uid and creationTimestamp as a rule.
type Set struct {
	Machines     []v1alpha1.Machine
	BootProfiles []v1alpha1.BootProfile
	ConfigMaps   []corev1.ConfigMap
	Secrets      []corev1.Secret

	// Files tells of each object ("Machine lab/n7", as in Problem.Object) the file that it comes from. Whoever keeps the
	// last good version of an object needs it: a file that can't be parsed does not tell which objects it had.
	Files map[string]string
}

// Load reads and judges all files below dir whose names end in .yaml, .yml or .json. Objects without a namespace get
// "default". Lists are taken apart; Namespaces and the files of kustomize are passed over; any other kind is a Problem.
// The error is about dir itself.
func (v *Validator) Load(ctx context.Context, dir string) (Set, []Problem, error) {
	files, err := readFiles(dir, func(string) {})
	if err != nil {
		return Set{}, nil, fmt.Errorf("read manifests: %w", err)
	}
	set, problems := v.judge(ctx, files)
	return set, problems, nil
}

func (v *Validator) judge(ctx context.Context, files []file) (Set, []Problem) {
	j := judgement{validator: v, byID: map[string]*object{}}
	for _, f := range files {
		if f.fault != "" {
			j.problems = append(j.problems, Problem{File: f.name, Message: f.fault})
			continue
		}
		for _, doc := range split(f.text) {
			value, tree, problems := doc.parse()
			for _, p := range problems {
				p.File = f.name
				j.problems = append(j.problems, p)
			}
			if len(problems) == 0 && value != nil {
				j.add(ctx, source{f.name, doc, tree}, value)
			}
		}
	}
	return j.set(), j.problems
}

// A judgement collects the objects and problems of a folder.
type judgement struct {
	validator *Validator
	objects   []*object
	byID      map[string]*object
	problems  []Problem
}

// An object is one of our kinds, good or bad.
type object struct {
	id     string // "Machine lab/n7"
	source source
	typed  any  // *v1alpha1.Machine and so on
	bad    bool // stays out of the Set
}

// A source is the place that an object comes from.
type source struct {
	file string
	doc  document
	tree *yamlv3.Node
}

func (s source) problem(id string, err *field.Error) Problem {
	p := Problem{File: s.file, Object: id, Field: err.Field, Message: err.ErrorBody()}
	if err.Field == "<nil>" { // field.Path(nil): the object as a whole
		p.Field, p.Message = "", err.Detail
	}
	p.Line, p.Column = s.doc.place(s.tree, err.Field)
	return p
}

// add judges one document, or one item of a List.
func (j *judgement) add(ctx context.Context, from source, value any) {
	content, _ := value.(map[string]any)
	obj := &unstructured.Unstructured{Object: content}
	gvk := obj.GroupVersionKind()
	switch {
	case gvk.Kind == "" || gvk.Version == "":
		j.report(from, "", field.Required(field.NewPath("kind"), "a manifest needs apiVersion and kind"))
		return
	case gvk.Group == "kustomize.config.k8s.io", gvk.GroupVersion() == corev1.SchemeGroupVersion && gvk.Kind == "Namespace":
		return
	case gvk.Group == "" || gvk.Group == v1alpha1.GroupVersion.Group:
		if items, isList := content["items"].([]any); isList && strings.HasSuffix(gvk.Kind, "List") {
			j.addItems(ctx, from, items)
			return
		}
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(metav1.NamespaceDefault)
	}
	j.addObject(ctx, from, obj)
}

func (j *judgement) addItems(ctx context.Context, from source, items []any) {
	_, list := child(from.tree, "items")
	for i, item := range items {
		of := from
		if _, at := child(list, strconv.Itoa(i)); at != nil {
			of.tree = at
		}
		j.add(ctx, of, item)
	}
}

func (j *judgement) addObject(ctx context.Context, from source, obj *unstructured.Unstructured) {
	o := &object{
		id:     fmt.Sprintf("%s %s/%s", obj.GetKind(), obj.GetNamespace(), cmp.Or(obj.GetName(), "(no name)")),
		source: from,
	}
	var errs field.ErrorList
	o.typed, errs = j.admit(ctx, obj)
	for _, err := range errs {
		j.report(from, o.id, err)
		o.bad = true
	}
	if obj.GetName() == "" { // generateName is no name either: each reading would make another object
		return
	}
	if first, twice := j.byID[o.id]; twice {
		line, column := first.source.doc.place(first.source.tree, "")
		where := fmt.Sprintf("already defined at %s:%d:%d", first.source.file, line, column)
		j.report(from, o.id, field.Forbidden(nil, where))
		first.bad = true
		return
	}
	j.byID[o.id] = o
	j.objects = append(j.objects, o)
}

func (j *judgement) report(from source, id string, err *field.Error) {
	j.problems = append(j.problems, from.problem(id, err))
}

// admit checks obj and converts it to its type.
func (j *judgement) admit(ctx context.Context, obj *unstructured.Unstructured) (typed any, errs field.ErrorList) {
	gvk := obj.GroupVersionKind()
	switch gvk {
	case v1alpha1.GroupVersion.WithKind("Machine"):
		typed = &v1alpha1.Machine{}
	case v1alpha1.GroupVersion.WithKind("BootProfile"):
		typed = &v1alpha1.BootProfile{}
	case corev1.SchemeGroupVersion.WithKind("ConfigMap"):
		return convertCore(obj, &corev1.ConfigMap{})
	case corev1.SchemeGroupVersion.WithKind("Secret"):
		return convertCore(obj, &corev1.Secret{})
	default:
		return nil, field.ErrorList{field.Invalid(field.NewPath("kind"), gvk.Kind, fmt.Sprintf("not expected of %s here: "+
			"put Machine and BootProfile (%s), ConfigMap and Secret (v1) into this folder", obj.GetAPIVersion(), v1alpha1.GroupVersion))}
	}
	errs = j.validator.Admit(ctx, obj.Object, nil)
	if len(errs) > 0 {
		return nil, errs
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, typed); err != nil {
		return nil, field.ErrorList{field.InternalError(nil, err)} // a type that does not follow its schema
	}
	return typed, nil
}

// convertCore checks no more than that the fields are known and of the right type, and the metadata.
func convertCore[T interface {
	runtime.Object
	metav1.ObjectMetaAccessor
}](obj *unstructured.Unstructured, typed T) (any, field.ErrorList) {
	err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(obj.Object, typed, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		var errs field.ErrorList
		for _, err := range strict.Errors() {
			path := strings.TrimSuffix(strings.TrimPrefix(err.Error(), `unknown field "`), `"`)
			errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
		}
		return nil, errs
	}
	if err != nil {
		return nil, field.ErrorList{field.Invalid(nil, nil, err.Error())}
	}
	return typed, metavalidation.ValidateObjectMetaAccessor(typed.GetObjectMeta(), true,
		metavalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
}

// set returns the good objects.
func (j *judgement) set() Set {
	set := Set{Files: map[string]string{}}
	for _, o := range j.objects {
		if o.bad {
			continue
		}
		set.Files[o.id] = o.source.file
		o.typed.(metav1.Object).SetGeneration(1)
		switch typed := o.typed.(type) {
		case *v1alpha1.Machine:
			set.Machines = append(set.Machines, *typed)
		case *v1alpha1.BootProfile:
			set.BootProfiles = append(set.BootProfiles, *typed)
		case *corev1.ConfigMap:
			set.ConfigMaps = append(set.ConfigMaps, *typed)
		case *corev1.Secret:
			for key, value := range typed.StringData { // write-only: the server moves it into data
				if typed.Data == nil {
					typed.Data = map[string][]byte{}
				}
				typed.Data[key] = []byte(value)
			}
			typed.StringData = nil
			set.Secrets = append(set.Secrets, *typed)
		}
	}
	return set
}
