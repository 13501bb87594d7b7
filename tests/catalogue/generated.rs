//! What is generated from the commands: the README's table, the composer's words, and Slack's manifest with its limits and scopes.

use std::{collections::BTreeSet, fs, path::Path};

use habops::catalogue::{docs, manifest};
use serde_json::Value;

use super::embedded;

#[test]
fn the_table_for_the_readme() {
    insta::assert_snapshot!(docs::markdown(&embedded().commands));
}

#[test]
fn the_composer_gets_names_arguments_and_their_words() {
    let all = docs::completions_json(&embedded().commands);
    let open = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "incident open")
        .unwrap();
    insta::assert_json_snapshot!(open, @r##"
    {
      "arguments": [
        {
          "name": "title",
          "values": []
        },
        {
          "name": "--channel",
          "values": [
            "thread",
            "here",
            "new"
          ]
        },
        {
          "name": "--pd",
          "values": []
        }
      ],
      "name": "incident open",
      "summary": "Open an incident: its thread or channel hears every answer until it is closed.",
      "usage": "incident open <title> [--channel <thread|here|new>] [--pd <text>]"
    }
    "##);
}

#[test]
fn the_manifest_is_whole_and_within_slacks_limits() {
    let manifest = manifest::manifest(&embedded().commands);
    insta::assert_json_snapshot!(manifest);
    let long = |pointer: &str| {
        let text = manifest.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("{pointer}")).chars().count()
    };
    let limits = [
        ("/display_information/name", 1, 35),
        ("/display_information/description", 1, 140),
        // Slack takes a long description of 174 to 4,000 characters.
        ("/display_information/long_description", 174, 4_000),
        ("/features/bot_user/display_name", 1, 80),
        ("/features/shortcuts/0/name", 1, 24),
        ("/features/shortcuts/0/description", 1, 150),
        ("/features/shortcuts/0/callback_id", 1, 255),
        ("/features/slash_commands/0/command", 2, 32),
        ("/features/slash_commands/0/description", 1, 2_000),
        ("/features/slash_commands/0/usage_hint", 1, 1_000),
    ];
    for (pointer, least, most) in limits {
        let length = long(pointer);
        assert!(
            (least..=most).contains(&length),
            "{pointer} is {length} characters long"
        );
    }
    let count = |pointer: &str| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_array)
            .unwrap()
            .len()
    };
    assert!(count("/oauth_config/scopes/bot") <= 255);
    assert!(count("/settings/event_subscriptions/bot_events") <= 100);
    assert!(count("/features/shortcuts") <= 10);
    assert!(count("/features/slash_commands") <= 50);
}

/// A second opinion, of a library that writes manifests for Slack.
#[test]
fn slack_morphism_reads_the_manifest_and_loses_nothing() {
    let ours = manifest::manifest(&embedded().commands);
    let read: slack_morphism::SlackAppManifest = serde_json::from_value(ours.clone()).unwrap();
    let theirs = serde_json::to_value(read).unwrap();
    for section in ["features", "oauth_config", "settings"] {
        // The library does not know of token rotation.
        let known = ours[section].as_object().unwrap().iter();
        for (key, value) in known.filter(|(key, _)| *key != "token_rotation_enabled") {
            assert_eq!(theirs[section][key], *value, "{section}.{key}");
        }
    }
}

/// Methods of the Web API that `clients/slack` names, read from its sources so that the list cannot fall behind.
fn methods_called() -> BTreeSet<String> {
    let method = regex::Regex::new(r#""((?:[a-z]+\.)+[a-zA-Z]+)""#).unwrap();
    let families = [
        "auth",
        "chat",
        "conversations",
        "files",
        "pins",
        "reactions",
        "usergroups",
        "users",
        "views",
    ];
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clients/slack");
    let mut called = BTreeSet::new();
    for entry in fs::read_dir(client).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let named = method
            .captures_iter(&source)
            .map(|found| found[1].to_owned());
        called.extend(named.filter(|name| families.contains(&name.split('.').next().unwrap())));
    }
    // What the client calls the plain POST to an upload's own address; Slack has retired the method of that name.
    called.remove("files.upload");
    called
}

#[test]
fn every_method_called_has_its_scope_and_no_scope_is_without_use() {
    let called = methods_called();
    assert!(called.len() > 10, "{called:?}");
    let granted: BTreeSet<String> = manifest::NEEDS
        .iter()
        .flat_map(|need| need.methods)
        .map(|method| (*method).to_owned())
        .collect();
    assert_eq!(granted, called);
    for need in manifest::NEEDS {
        let called_by_slack = [
            "commands",
            "app_mentions:read",
            "pins:read",
            "reactions:read",
        ]
        .contains(&need.scope);
        assert_eq!(called_by_slack, need.methods.is_empty(), "{}", need.scope);
    }
}
