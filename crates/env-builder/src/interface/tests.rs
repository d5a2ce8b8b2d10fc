use insta::assert_snapshot;

use super::*;

fn read_text(text: &str) -> Result<Interface, Vec<Finding>> {
    read("machine".parse().unwrap(), &SourceText::open("machine.json", text))
}

fn told(text: &str) -> String {
    let told = |it: Finding| format!("{} {} {}\n", it.place.unwrap(), it.code.id, it.message);
    read_text(text).unwrap_err().into_iter().map(told).collect()
}

#[test]
fn an_interface_is_a_list_of_variables_with_their_origin() {
    let interface = read_text(
        r#"{"$schema": "x", "description": "d", "required": {"REDIS_URL": "HUB"}, "secret": {"KEY": "KEY"},
           "optional": {"LOG_LEVEL": "MACHINE_LOG_LEVEL"}, "optional_secret": {"TOKEN": "TOKEN"},
           "defaults": {"LOG_LEVEL": "info", "MODE": "${literal"}}"#,
    )
    .unwrap();
    let told = |it: &Take| {
        let default = it.default.as_ref().map_or("", |it| &it.text);
        format!("{} <- {} required={} secret={} default={default}\n", it.app, it.pool, it.required, it.secret)
    };
    assert_snapshot!(interface.takes.iter().map(told).collect::<String>(), @r"
    KEY <- KEY required=true secret=true default=
    LOG_LEVEL <- MACHINE_LOG_LEVEL required=false secret=false default=info
    MODE <- MODE required=false secret=false default=${literal
    REDIS_URL <- HUB required=true secret=false default=
    TOKEN <- TOKEN required=false secret=true default=
    ");
}

#[test]
fn an_interface_does_not_contradict_itself() {
    assert_snapshot!(told(
        r#"{"description": "d", "required": {"A": "A", "B": "B"}, "secret": {"A": "A", "C": "C"},
           "optional": {"C": "C"}, "defaults": {"B": "1", "C": "2"}}"#
    ), @r"
    machine.json:1:72 ENV030 `A` is in `required` and in `secret`
    machine.json:2:30 ENV030 `C` is in `secret` and in `optional`
    machine.json:2:54 ENV030 `B` is in `required` and has a default
    machine.json:2:64 ENV030 `C` is in `secret` and has a default
    ");
}

#[test]
fn a_document_is_read_strictly_and_all_faults_have_a_place() {
    assert_snapshot!(told(r#"{"requird": {}, "optional": {"A": 1, "b c": "B"}}"#), @r"
    machine.json:1:1 DOC002 field `description` is missing in the document
    machine.json:1:2 DOC001 unknown field `requird` in the document
    machine.json:1:35 DOC003 `optional.A` must be a text
    machine.json:1:38 DOC003 the name `b c` in `optional` must be a name that matches ^[A-Za-z_][A-Za-z0-9_]*$
    ");
}

#[test]
fn the_shipped_interface_is_valid() {
    let text = include_str!("../../../../config/environments/services/machine.json");
    assert!(
        read_text(text)
            .is_ok_and(|it| it.takes.iter().any(|it| it.app.as_str() == "REDIS_URL" && it.required))
    );
}
