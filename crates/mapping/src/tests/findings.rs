//! What is wrong with a mapping, all at once.

use super::*;

#[test]
fn faults_of_form_come_with_their_json_path_and_line() {
    let text = SHIPPED
        .replacen("\"connector\": \"comfyui\"", "\"connector\": \"comfy\"", 1)
        .replacen("\"vram_mib\": 8192", "\"vram_mib\": \"8 GiB\"", 1)
        .replacen("\"required_env\": [\"OPENAI_API_KEY\"]", "\"requird_env\": [\"OPENAI_API_KEY\"]", 1)
        .replacen("\"run\": \"process\"", "\"run\": { \"http\": { \"prt\": \"http\", \"path\": \"/\" } }", 1)
        .replacen("\"set\": [\"COMFYUI_REMOTE_URL\"]", "\"set\": []", 1)
        .replacen("\"a1111\": {\n      \"from\"", "\"A1111\": {\n      \"from\"", 1);
    assert_snapshot!(told(&load_text(&text).unwrap_err()), @r"
    mapping.json:12:5 DOC003 the name `A1111` in `stages` must be a name that matches ^[a-z0-9][a-z0-9-]*$
        = write a name that matches ^[a-z0-9][a-z0-9-]*$
    mapping.json:33:20 DOC003 `workers.comfyui.connector` must be one of: a1111, comfyui, comfyui-remote, comfyui-websocket, ollama, openai, playwright, replicate, runpod, simulation
        = write one of: a1111, comfyui, comfyui-remote, comfyui-websocket, ollama, openai, playwright, replicate, runpod, simulation
    mapping.json:72:7 DOC001 unknown field `requird_env` in `workers.openai`
        = did you mean `required_env`?
    mapping.json:173:19 DOC003 `services.comfyui.vram_mib` must be a whole number
        = write a whole number
    mapping.json:218:26 DOC002 field `port` is missing in `services.comfyui.probes.run.http`
        = add `port`
    mapping.json:218:28 DOC001 unknown field `prt` in `services.comfyui.probes.run.http`
        = did you mean `port`?
    mapping.json:227:44 DOC003 `services.comfyui-remote.probes.install.variables.set` must be a list of at least 1
        = write a list of at least 1
    ");
}

/// As bad as a mapping can be whose form is right.
const BAD: &str = r#"{
  "version": 1,
  "stages": {
    "base": {},
    "copy": { "from": "base" },
    "round": { "from": "about", "provides": ["art"] },
    "about": { "from": "round" },
    "tool": { "from": "bse", "provides": ["tool", "far", "tol"] },
    "tool-too": { "from": "tool", "provides": ["tool"] }
  },
  "workers": {
    "art": { "description": "d", "service": "atr", "connector": "comfyui", "accepts": ["art"] },
    "tool": {
      "description": "d", "service": "tool", "connector": "playwright", "accepts": ["tool"],
      "required_env": ["TOKEN"], "optional_env": ["TOKEN"], "secret_env": ["KEY"]
    },
    "far": { "description": "d", "service": "far", "connector": "openai", "accepts": ["far"] },
    "bare": { "description": "d", "service": "bare", "connector": "ollama", "accepts": ["bare"] }
  },
  "services": {
    "art": {
      "description": "d", "binding": "gpu", "build_stage": "tool", "vram_mib": 1000, "instances_per_machine": 2,
      "ports": [
        { "name": "http", "base": 9050, "increment": 1, "variable": "PORT_BASE" },
        { "name": "http", "base": 65500, "increment": 1 },
        { "name": "ws", "base": 9060, "increment": 1, "variable": "PORT_BASE" }
      ],
      "start": {
        "command": ["art", "${PORT}", "${PROT}", "${HOME"], "working_directory": "art",
        "env": { "CUDA_VISIBLE_DEVICES": "0", "MODE": "x" }
      },
      "volumes": [
        { "name": "models", "path": "models" },
        { "name": "cache", "path": "/cache" }
      ],
      "required_env": ["TOKEN", "MODE"], "secret_env": ["TOKEN"],
      "probes": {
        "install": { "url": { "variable": "TOKEN", "path": "x" } },
        "run": { "tcp": { "port": "htp" } },
        "health": { "http": { "port": "http", "path": "ok" } }
      }
    },
    "tool": {
      "description": "d", "binding": "cpu", "build_stage": "tol", "vram_mib": 1, "instances_per_gpu": 1,
      "start": { "command": ["tool", "${PORT}"], "working_directory": "${WORKSPACE}x" },
      "volumes": [
        { "name": "models", "path": "/models", "read_only": true },
        { "name": "store", "path": "/cache" }
      ],
      "probes": { "install": { "file": { "path": "~/tool" } }, "run": "process", "health": "process" }
    },
    "far": {
      "description": "d", "binding": "shared", "build_stage": "base", "install": { "source": { "program": { "name": "x" } }, "probe": ["x"] },
      "ports": [{ "name": "http", "base": 9090, "increment": 0 }],
      "probes": {
        "install": "process",
        "run": { "variables": { "set": ["KEY"] } },
        "health": { "http": { "port": "http", "path": "/" } }
      }
    },
    "bare": {
      "description": "d", "binding": "gpu",
      "probes": { "install": "process", "run": "process", "health": "process" }
    },
    "spare": {
      "description": "d", "binding": "shared", "optional_env": ["URL"],
      "probes": {
        "install": { "variables": { "set": ["URL"] } },
        "run": { "url": { "variable": "URL", "path": "" } },
        "health": { "url": { "variable": "URL", "path": "" } }
      }
    }
  }
}"#;

#[test]
#[allow(clippy::too_many_lines, reason = "a golden")]
fn one_flaw_of_the_content_does_not_hide_the_next() {
    assert_snapshot!(told(&load_text(BAD).unwrap_err()), @r"
    mapping.json:5:5 MAP003 `stages.copy`: nothing ever needs this stage: `base` provides the same
        = remove the stage, or let it provide what no other stage does
    mapping.json:7:24 MAP002 `stages.about.from`: the stage starts from itself: `about` from `round` from `about`
        = let one of them start from another stage, or from none
    mapping.json:8:23 MAP001 `stages.tool.from`: no stage is named `bse`
        = did you mean `base`?
    mapping.json:8:51 MAP007 `stages.tool.provides[1]`: `far` is elsewhere; no stage can provide it
        = remove it
    mapping.json:8:58 MAP001 `stages.tool.provides[2]`: no service is named `tol`
        = did you mean `tool`?
    mapping.json:9:5 MAP003 `stages.tool-too`: nothing ever needs this stage: `tool` provides the same
        = remove the stage, or let it provide what no other stage does
    mapping.json:9:48 MAP007 `stages.tool-too.provides[0]`: the stage has `tool` already, from `tool`
        = remove it
    mapping.json:12:45 MAP001 `workers.art.service`: no service is named `atr`
        = did you mean `art`?
    mapping.json:15:24 MAP005 `workers.tool.required_env[0]`: `TOKEN` is no secret here, but is one in `services.art`
        = add `TOKEN` to `secret_env` here as well
    mapping.json:15:51 MAP005 `workers.tool.optional_env[0]`: `TOKEN` is in both `required_env` and `optional_env`
        = keep it in one of them
    mapping.json:15:51 MAP005 `workers.tool.optional_env[0]`: `TOKEN` is no secret here, but is one in `services.art`
        = add `TOKEN` to `secret_env` here as well
    mapping.json:15:76 MAP005 `workers.tool.secret_env[0]`: the secret `KEY` is in neither `required_env` nor `optional_env`
        = add `KEY` to `required_env` or `optional_env`, or remove it here
    mapping.json:21:5 MAP003 `services.art`: no worker works on this service
        = add a worker of this service, or remove it
    mapping.json:22:60 MAP007 `services.art.build_stage`: the stage `tool` does not provide `art`
        = add `art` to what `tool` provides, or name another stage
    mapping.json:22:86 MAP004 `services.art.instances_per_machine`: a service with the binding `gpu` cannot have `instances_per_machine`
        = remove `instances_per_machine`, or change the binding
    mapping.json:24:9 MAP009 `services.art.ports[0]`: instance 40 gets port 9090, which is the health server's
        = choose a base whose instances do not meet it
    mapping.json:25:9 MAP009 `services.art.ports[1]`: instance 36 gets port 65536; 65535 is the limit
        = lower the base, the increment or the number of instances
    mapping.json:25:19 MAP008 `services.art.ports[1].name`: the service has two ports named `http`
        = give one of them another name
    mapping.json:26:9 MAP003 `services.art.ports[2]`: neither `start` nor a probe mentions the port `ws`
        = give it to the process as `${PORT_WS}`, or remove it
    mapping.json:26:9 MAP008 `services.art.ports[2]`: instance 0 gets port 9060, which instance 10 of `services.art.ports[0]` gets too
        = move one base away, or lower the number of instances
    mapping.json:26:9 MAP009 `services.art.ports[2]`: instance 30 gets port 9090, which is the health server's
        = choose a base whose instances do not meet it
    mapping.json:26:67 MAP008 `services.art.ports[2].variable`: `PORT_BASE` moves `services.art.ports[0]` too
        = give each port a variable of its own
    mapping.json:29:39 MAP010 `services.art.start.command[2]`: `${PROT}` stands for nothing here
        = use one of ${PORT}, ${INSTANCE}, ${NAME}, ${LISTEN}, ${WORKSPACE}, ${PORT_HTTP}, ${PORT_HTTP}, ${PORT_WS}; write `$${` where `${` itself is meant
    mapping.json:29:50 TPL001 `services.art.start.command[3]`: this `${` has no closing `}`
        = close the brace; write `$${` where `${` itself is meant
    mapping.json:29:82 MAP011 `services.art.start.working_directory`: the path is not absolute
        = begin it with `/` or `${WORKSPACE}/`, without `.` and `..`
    mapping.json:30:18 MAP005 `services.art.start.env.CUDA_VISIBLE_DEVICES`: `CUDA_VISIBLE_DEVICES` is set by the plan
        = remove it here
    mapping.json:30:47 MAP005 `services.art.start.env.MODE`: `MODE` is set by whoever runs the service, by its `required_env` or `optional_env`
        = remove it here
    mapping.json:33:37 MAP011 `services.art.volumes[0].path`: the path is not absolute
        = begin it with `/` or `${WORKSPACE}/`, without `.` and `..`
    mapping.json:38:20 MAP006 `services.art.probes.install`: a service on this machine cannot be seen by the probe `url`
        = use the probe `http` or `tcp` on a port of the service
    mapping.json:38:60 MAP011 `services.art.probes.install.url.path`: the path does not begin with `/`
        = begin it with `/`
    mapping.json:39:35 MAP001 `services.art.probes.run.tcp.port`: no port is named `htp`
        = did you mean `http`?
    mapping.json:40:55 MAP011 `services.art.probes.health.http.path`: the path does not begin with `/`
        = begin it with `/`
    mapping.json:44:60 MAP001 `services.tool.build_stage`: no stage is named `tol`
        = did you mean `tool`?
    mapping.json:44:67 MAP004 `services.tool.vram_mib`: a service with the binding `cpu` cannot have `vram_mib`
        = remove `vram_mib`, or change the binding
    mapping.json:44:82 MAP004 `services.tool.instances_per_gpu`: a service with the binding `cpu` cannot have `instances_per_gpu`
        = remove `instances_per_gpu`, or change the binding
    mapping.json:45:38 MAP010 `services.tool.start.command[1]`: `${PORT}` stands for nothing here
        = use one of ${INSTANCE}, ${NAME}, ${LISTEN}, ${WORKSPACE}; write `$${` where `${` itself is meant
    mapping.json:45:71 MAP011 `services.tool.start.working_directory`: the path is not absolute
        = begin it with `/` or `${WORKSPACE}/`, without `.` and `..`
    mapping.json:47:37 MAP012 `services.tool.volumes[0].path`: the volume `models` has another `path` in `services.art.volumes[0]`
        = give both the same `path`, or name one of the volumes otherwise
    mapping.json:47:61 MAP012 `services.tool.volumes[0].read_only`: the volume `models` has another `read_only` in `services.art.volumes[0]`
        = give both the same `read_only`, or name one of the volumes otherwise
    mapping.json:48:36 MAP012 `services.tool.volumes[1].path`: the volume of `services.art.volumes[1]` is at this path too
        = give both the same name, or one of them another path
    mapping.json:50:50 MAP011 `services.tool.probes.install.file.path`: the path is not absolute
        = begin it with `/` or `${WORKSPACE}/`, without `.` and `..`
    mapping.json:53:48 MAP004 `services.far.build_stage`: a service with the binding `shared` cannot have `build_stage`
        = remove `build_stage`, or change the binding
    mapping.json:53:71 MAP004 `services.far.install`: a service with the binding `shared` cannot have `install`
        = remove `install`, or change the binding
    mapping.json:54:7 MAP004 `services.far.ports`: a service with the binding `shared` cannot have `ports`
        = remove `ports`, or change the binding
    mapping.json:56:20 MAP006 `services.far.probes.install`: a service elsewhere cannot be seen by the probe `process`
        = use the probe `variables` or `url`
    mapping.json:57:41 MAP006 `services.far.probes.run.variables.set[0]`: the probe reads `KEY`, which is in neither list of the service
        = add `KEY` to the service's `required_env` or `optional_env`
    mapping.json:58:19 MAP006 `services.far.probes.health`: a service elsewhere cannot be seen by the probe `http`
        = use the probe `variables` or `url`
    mapping.json:61:5 MAP004 `services.bare`: a service with the binding `gpu` needs `build_stage`
        = add `build_stage`
    mapping.json:61:5 MAP004 `services.bare`: a service with the binding `gpu` needs `vram_mib`
        = add `vram_mib`
    mapping.json:61:5 MAP004 `services.bare`: a service with the binding `gpu` needs `start`
        = add `start`
    mapping.json:65:5 MAP003 `services.spare`: no worker works on this service
        = add a worker of this service, or remove it
    ");
}

#[test]
fn the_bad_mapping_above_breaks_every_rule_of_the_mapping() {
    let findings = load_text(BAD).unwrap_err();
    let unbroken: Vec<&str> = (codes::ALL.iter().map(|it| it.id))
        .filter(|id| id.starts_with("MAP0") && !findings.iter().any(|it| it.code.id == *id))
        .collect();
    assert_eq!(unbroken, Vec::<&str>::new());
}

#[test]
fn a_stage_that_is_larger_than_its_service_needs_is_told() {
    let text =
        SHIPPED.replacen("\"build_stage\": \"playwright\"", "\"build_stage\": \"comfyui-playwright\"", 1);
    assert_snapshot!(told(&load_text(&text).unwrap_err()), @r"
    mapping.json:307:22 MAP007 `services.playwright.build_stage`: the stage `playwright` provides `playwright` and is smaller
        = write `playwright`
    ");
}
