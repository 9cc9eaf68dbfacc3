// The judgement of GitOps tools on objects: `driver kstatus` and `driver lua HEALTH.lua` read a JSON list of objects
// from stdin and write one verdict an object, as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	verdicts, err := run(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(verdicts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) ([]verdict, error) {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	// As the clients of Kubernetes read JSON: whole numbers become int64.
	var objects []any
	if err := kubejson.Unmarshal(input, &objects); err != nil {
		return nil, err
	}
	judge := judgeByKstatus
	if len(arguments) == 2 && arguments[0] == "lua" {
		script, err := os.ReadFile(arguments[1])
		if err != nil {
			return nil, err
		}
		judge = func(object map[string]any) (verdict, error) { return judgeByLua(string(script), object) }
	} else if len(arguments) != 1 || arguments[0] != "kstatus" {
		return nil, fmt.Errorf("expected: kstatus, or lua FILE; got %v", arguments)
	}
	verdicts := make([]verdict, 0, len(objects))
	for _, object := range objects {
		fields, ok := object.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("expected objects, got %T", object)
		}
		one, err := judge(fields)
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, one)
	}
	return verdicts, nil
}

func judgeByKstatus(object map[string]any) (verdict, error) {
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return verdict{}, err
	}
	return verdict{Status: result.Status.String(), Message: result.Message}, nil
}

// As Argo CD runs a check: no libraries but the harmless ones, `obj` as a global, a table with status and message back.
func judgeByLua(script string, object map[string]any) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return verdict{}, err
		}
	}
	state.SetGlobal("obj", valueOf(state, object))
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("expected a table, got %s", state.Get(-1).Type())
	}
	return verdict{Status: table.RawGetString("status").String(), Message: table.RawGetString("message").String()}, nil
}

func valueOf(state *lua.LState, value any) lua.LValue {
	switch typed := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, one := range typed {
			table.RawSetString(key, valueOf(state, one))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, one := range typed {
			table.Append(valueOf(state, one))
		}
		return table
	case string:
		return lua.LString(typed)
	case bool:
		return lua.LBool(typed)
	case int64:
		return lua.LNumber(typed)
	case float64:
		return lua.LNumber(typed)
	}
	return lua.LNil
}
