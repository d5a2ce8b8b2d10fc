//! The connector as an environment makes it.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use spec::ids::EnvKey;

use super::*;
use crate::egress::Rules;

fn build(kind: &str, variables: &[(&str, &str)]) -> Result<(ComfyUi, Vec<Secret<String>>), String> {
    let source: BTreeMap<EnvKey, String> =
        variables.iter().map(|(key, value)| (key.parse().unwrap(), (*value).to_owned())).collect();
    let mut vars = Vars::new(&source);
    let url = vars.url("SERVICE_URL");
    let made = ComfyUi::build(kind, url, &mut vars, Egress::new(Rules::default()));
    match vars.finish() {
        Ok(secrets) => Ok((made.unwrap(), secrets)),
        Err(faults) => {
            let told: Vec<_> = faults.iter().map(|it| format!("{}; {}", it.message, it.fix)).collect();
            Err(told.join("\n"))
        }
    }
}

fn exposed(secrets: &[Secret<String>]) -> Vec<&str> {
    secrets.iter().map(|it| it.expose().as_str()).collect()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    assert_snapshot!(build("comfyui", &[("COMFYUI_DIALECT", "spoon")]).err().unwrap(), @"
    `COMFYUI_DIALECT` is not `stock` or `fork`: there is no such dialect; set `COMFYUI_DIALECT` to `stock` or `fork`
    `SERVICE_URL` is not set: the address of its ComfyUI; set `SERVICE_URL`, or `SERVICE_URL_FILE` to a file that holds it
    ");
    assert_snapshot!(build("comfyui-remote", &[("COMFYUI_REMOTE_TOKEN", "canary word")]).err().unwrap(), @"
    `COMFYUI_REMOTE_URL` is not set: the address of the ComfyUI to work on; set `COMFYUI_REMOTE_URL`, or `COMFYUI_REMOTE_URL_FILE` to a file that holds it
    `COMFYUI_REMOTE_TOKEN` is not a token: it has a space or a letter that cannot be in a header; set `COMFYUI_REMOTE_TOKEN` to a token
    ");
    let both =
        [("COMFYUI_REMOTE_URL", "https://user:canary@gpu-box"), ("COMFYUI_REMOTE_TOKEN", "canary-token")];
    assert_snapshot!(build("comfyui-remote", &both).err().unwrap(), @"`COMFYUI_REMOTE_URL` and `COMFYUI_REMOTE_TOKEN` do not go together: the address names a user already; unset `COMFYUI_REMOTE_URL` or `COMFYUI_REMOTE_TOKEN`");
}

#[test]
fn a_secret_is_known_to_the_redactor_and_in_no_debug_output() {
    let (made, secrets) =
        build("comfyui-remote", &[("COMFYUI_REMOTE_URL", "https://user:canary-1@gpu-box/comfy")]).unwrap();
    assert_eq!(exposed(&secrets), ["canary-1"]);
    assert!(!format!("{made:?}").contains("canary"));
    let token = [("COMFYUI_REMOTE_URL", "https://gpu-box"), ("COMFYUI_REMOTE_TOKEN", "canary-2")];
    let (made, secrets) = build("comfyui-remote", &token).unwrap();
    assert_eq!(exposed(&secrets), ["canary-2"]);
    assert!(!format!("{made:?}").contains("canary"));
}

#[test]
fn each_kind_is_what_its_name_says() {
    let local = [("SERVICE_URL", "http://127.0.0.1:8188"), ("COMFYUI_DIALECT", "fork")];
    let of = |kind: &str, variables: &[(&str, &str)]| {
        let (made, _) = build(kind, variables).unwrap();
        (made.local, made.previews, made.dialect)
    };
    assert_eq!(of("comfyui", &local), (true, false, Dialect::Fork));
    assert_eq!(of("comfyui-websocket", &local[..1]), (true, true, Dialect::Stock));
    assert_eq!(
        of("comfyui-remote", &[("COMFYUI_REMOTE_URL", "http://gpu-box:8188")]),
        (false, false, Dialect::Stock)
    );
}
