//! Releases promoted and demoted, end to end: what the card says, what is called, what is read back, and the way back.

use habops::domain::operation::State;

use super::super::{
    datastore::breakable,
    world::{Setup, World, everywhere, of_metadata, people::Person, words},
};

const NEW: &str = "core/builder-api/6085/20171120084512";
const OLD: &str = "core/builder-api/6048/20171115193120";

/// Types it and says yes on its card; how it ended, and in what words.
pub async fn approved(who: &Person<'_>, world: &World, typed: &str) -> (String, String) {
    let said = who.types(&format!("/habops {typed}")).await;
    let card = world.shows(&said.operation, "awaiting").await;
    who.presses(&card, "Approve").await;
    let ended = world.ended(&said.operation).await;
    let end = world.shows(&said.operation, ended.state.word()).await;
    (of_metadata(&end, "state"), words(&end))
}

/// What Builder was told to do. The bot of a world that has ended may still call the address that its Slack had.
fn told(world: &World) -> Vec<String> {
    let mut told = world.sandbox.builder.told();
    told.retain(|line| line.contains(" /v1/"));
    told
}

#[test]
fn a_release_is_promoted_after_its_card_and_the_way_back_is_a_button() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
        let card = world.shows(&said.operation, "awaiting").await;
        let shown = words(&card);
        for wanted in [
            "goes into stable",
            "6048/20171115193120",  // what stable holds
            "2017-11-20 08:45 UTC", // when it was built
            "core/openssl/1.0.2l/20171119112004 (for core/builder-api)",
            "live follows stable",
            "live-builder-api-0",
        ] {
            assert!(shown.contains(wanted), "no `{wanted}` in {shown}");
        }
        assert!(told(world).is_empty(), "a card only looks");
        cyd.presses(&card, "Approve").await;
        let end = world.shows(&said.operation, "done").await;
        assert!(words(&end).contains("is in stable"), "{}", words(&end));
        let put = "PUT /v1/depot/channels/core/stable/pkgs/builder-api/6085/20171120084512/promote";
        assert_eq!(told(world), [put]);
        assert_eq!(
            world.sandbox.builder.channels_of(NEW),
            ["unstable", "stable"]
        );

        // Undo enters the inverse as whoever presses it, with a card of its own.
        cyd.presses(&end, "Undo").await;
        let card = world.sees("operations", "goes out of stable").await;
        assert!(
            words(&card).contains("6048/20171115193120"),
            "{}",
            words(&card)
        );
        cyd.presses(&card, "Approve").await;
        let back = world.sees("operations", "is out of stable").await;
        assert_eq!(world.sandbox.builder.channels_of(NEW), ["unstable"]);
        assert!(words(&back).contains("Undo"), "{}", words(&back));
        // The button is good for once.
        cyd.presses(&end, "Undo").await;
        cyd.hears("was pressed already").await;
        assert_eq!(told(world).len(), 2);
    });
}

#[test]
fn a_card_says_for_how_long_a_release_is_where_it_is_if_the_datastore_can_tell() {
    let datastore = breakable();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let change = |sql: &str| {
        runtime.block_on(async {
            let origins = datastore.connect("builder_originsrv").await.unwrap();
            origins.batch_execute(sql).await.unwrap();
        });
    };
    change(&format!(
        "INSERT INTO shard_30.origin_packages (origin_id, owner_id, name, ident, target, deps)
         SELECT id, owner_id, 'builder-api', '{NEW}', 'x86_64-linux', '' FROM shard_30.origins WHERE name = 'core';
         INSERT INTO shard_30.origin_channel_packages
         SELECT c.id, p.id, now() - interval '200 hours', now()
         FROM shard_30.origin_channels c, shard_30.origin_packages p WHERE c.name = 'unstable' AND p.ident = '{NEW}'"
    ));
    Setup::default().datastore(&datastore).run(async |world| {
        let cyd = world.person("cyd");
        let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
        let card = words(&world.shows(&said.operation, "awaiting").await);
        assert!(card.contains("unstable for 8 d"), "{card}");
        datastore.goes_down().await.unwrap();
        let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
        let card = words(&world.shows(&said.operation, "awaiting").await);
        assert!(
            card.contains("only the datastore knows: the datastore at"),
            "{card}"
        );
        assert!(card.contains("cannot be reached"), "{card}");
        datastore.comes_back().await.unwrap();
    });
    change(&format!(
        "DELETE FROM shard_30.origin_channel_packages USING shard_30.origin_packages p WHERE p.id = package_id AND p.ident = '{NEW}';
         DELETE FROM shard_30.origin_packages WHERE ident = '{NEW}'"
    ));
}

#[test]
fn a_promotion_that_builder_swallows_is_told_as_not_promoted() {
    World::run(async |world| {
        world.breaks("builder-swallows");
        let cyd = world.person("cyd");
        let (state, shown) = approved(&cyd, world, &format!("promote {NEW} stable")).await;
        assert_eq!(state, "failed");
        assert!(shown.contains("was not promoted"), "{shown}");
        assert!(shown.contains("said yes and did nothing"), "{shown}");
        assert!(!shown.contains("Undo"), "{shown}");
        assert_eq!(world.sandbox.builder.channels_of(NEW), ["unstable"]);
    });
}

#[test]
fn a_redelivered_promotion_is_one_call() {
    World::run(async |world| {
        world.breaks("slack-redeliver");
        let cyd = world.person("cyd");
        let (state, _) = approved(&cyd, world, &format!("promote {NEW} stable")).await;
        world.mends("slack-redeliver");
        assert_eq!(state, "done");
        world.comes_to_rest().await;
        assert_eq!(told(world).len(), 1, "{:?}", told(world));
        let promotions = world.operations().await.into_iter();
        assert_eq!(
            promotions
                .filter(|it| it.text.starts_with("promote"))
                .count(),
            1
        );
    });
}

#[test]
fn a_group_is_one_card_and_what_is_refused_is_a_row() {
    let neurosis = "neurosis/np-mongodb/3.2.9/20171013092907";
    World::run(async |world| {
        let cyd = world.person("cyd");
        let (state, shown) = approved(&cyd, world, "promote stable --group builder").await;
        assert_eq!(state, "done", "{shown}");
        assert!(shown.contains("3 of 3 packages are in stable"), "{shown}");
        assert_eq!(told(world).len(), 3);

        let redis = "core/redis/4.0.2/20171118054402";
        let (state, shown) = approved(
            &cyd,
            world,
            &format!("promote {redis} {neurosis} {NEW} rc-2017"),
        )
        .await;
        assert_eq!(state, "partly", "{shown}");
        assert!(shown.contains("2 of 3 packages are in rc-2017"), "{shown}");
        assert!(shown.contains("neurosis has no channel rc-2017"), "{shown}");
        assert!(shown.contains("Undo"), "{shown}");
        assert_eq!(
            world.sandbox.builder.channels_of(redis),
            ["unstable", "rc-2017"]
        );
        // Of what was there already nothing is called again.
        let before = told(world).len();
        let (state, shown) = approved(&cyd, world, &format!("promote {redis} {OLD} rc-2017")).await;
        assert_eq!(state, "done", "{shown}");
        assert!(shown.contains("was so already"), "{shown}");
        assert_eq!(told(world).len(), before + 2, "the channel and one release");
    });
}

#[test]
fn what_the_channel_holds_must_be_the_same_at_the_click() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
        let card = world.shows(&said.operation, "awaiting").await;
        // Meanwhile somebody takes out what it would have replaced.
        let (state, _) = approved(&cyd, world, &format!("demote {OLD} stable")).await;
        assert_eq!(state, "done");
        cyd.presses(&card, "Approve").await;
        cyd.hears("has changed since it was posted").await;
        let refused = world.shows(&said.operation, "refused").await;
        let shown = words(&refused);
        assert!(
            shown.contains(&format!("stable holds no longer {OLD}")),
            "{shown}"
        );
        assert_eq!(told(world).len(), 1, "{:?}", told(world));
        // The fresh card is about how it is now.
        let fresh = world
            .until("a fresh card", |slack| {
                everywhere(slack).find(|message| {
                    of_metadata(message, "state") == "awaiting"
                        && of_metadata(message, "key") != said.operation
                })
            })
            .await;
        cyd.presses(&fresh, "Approve").await;
        world.sees("operations", "is in stable").await;
        assert_eq!(told(world).len(), 2);
    });
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        for (typed, wanted) in [
            (
                "promote core/builder-api stable",
                "The latest in unstable is core/builder-api/6085/20171120084512",
            ),
            (
                "promote core/nosuch stable",
                "There is no core/nosuch in unstable",
            ),
            (
                "promote core/builder-api/1/2 stable",
                "its latest is core/builder-api/6085/20171120084512",
            ),
            (&format!("promote {OLD} stable"), "in stable already"),
            ("promote stable", "Which packages?"),
            ("promote stable --group nosuch", "there is: builder"),
            ("promote unstable --group builder", "is in unstable already"),
            (&format!("promote {NEW} ../x"), "is not a channel's name"),
            (
                &format!("demote {NEW} unstable"),
                "Nothing is taken out of unstable",
            ),
            (&format!("demote {NEW} stable"), "not in stable"),
            (
                "demote core/builder-api stable",
                "The latest in stable is core/builder-api/6048/20171115193120",
            ),
        ] {
            let said = cyd.types(&format!("/habops {typed}")).await;
            cyd.hears(wanted).await;
            assert_eq!(
                world.ended(&said.operation).await.state,
                State::Refused,
                "{typed}"
            );
        }
        assert!(told(world).is_empty());
        // The latest is offered by its name, and pressing it opens its card.
        cyd.types("/habops promote core/builder-jobsrv stable")
            .await;
        let offer = cyd.hears("core/builder-jobsrv/6084").await;
        cyd.presses(&offer, "promote 6084/20171120084512").await;
        world
            .sees(
                "operations",
                "core/builder-jobsrv/6084/20171120084512 goes into stable",
            )
            .await;
        // Only those may who hold the role.
        let bo = world.person("bo");
        bo.types(&format!("/habops promote {NEW} stable")).await;
        bo.hears("needs the role release").await;
    });
}

#[test]
fn where_builder_cannot_be_asked_nothing_is_begun_and_the_service_is_named() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        for (fault, wanted, button) in [
            (
                "builder-no-shard",
                "NO_SHARD (503, rt:route:2)",
                Some("Diagnose router"),
            ),
            (
                "builder-timeout",
                "TIMEOUT (504, net:route:3)",
                Some("Diagnose api"),
            ),
            (
                "builder-page",
                "builder-api-proxy answers 502 by itself",
                Some("Diagnose api"),
            ),
            ("builder-empty", "nothing that could be read", None),
        ] {
            world.breaks(fault);
            let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
            let heard = cyd.hears(wanted).await;
            if let Some(label) = button {
                assert!(words(&heard).contains(label), "{}", words(&heard));
            }
            assert_eq!(
                world.ended(&said.operation).await.state,
                State::Refused,
                "{fault}"
            );
            world.mends(fault);
        }
        assert!(told(world).is_empty());
    });
}

#[test]
fn by_hand_is_what_one_would_type_and_the_token_is_not_in_it() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        // Lines that are only shown wait for nobody's yes.
        let typed = format!("/habops promote {NEW} stable --by-hand");
        let shown = words(&cyd.runs(&typed).await);
        let line = format!("hab pkg promote {NEW} stable --url http://127.0.0.1");
        assert!(shown.contains(&line), "{shown}");
        assert!(!shown.contains("_sandbox"), "{shown}");
        assert!(told(world).is_empty());
    });
}

#[test]
fn a_builder_that_falls_silent_in_the_middle_leaves_no_false_word() {
    let setup = Setup::default().instead(
        "token = { file = \"files/builder-token\" }",
        "token = { file = \"files/builder-token\" }\ntimeout = \"2s\"",
    );
    setup.run(async |world| {
        let cyd = world.person("cyd");
        let said = cyd.types(&format!("/habops promote {NEW} stable")).await;
        let card = world.shows(&said.operation, "awaiting").await;
        world.breaks("builder-silent");
        cyd.presses(&card, "Approve").await;
        // The card is judged against what Builder shows now, and it shows nothing.
        cyd.hears("did not answer within 2s").await;
        world.mends("builder-silent");
        assert!(told(world).is_empty());
        cyd.presses(&card, "Approve").await;
        world.shows(&said.operation, "done").await;
    });
}

#[test]
fn without_a_token_or_a_builder_the_commands_say_what_is_missing() {
    let setup = Setup::default().instead("token = { file = \"files/builder-token\" }\n", "");
    setup.run(async |world| {
        let cyd = world.person("cyd");
        cyd.types(&format!("/habops promote {NEW} stable")).await;
        cyd.hears("habops has no token for Builder").await;
        let listed = cyd.runs("/habops jobs").await;
        assert!(words(&listed).contains("Dispatching"), "{}", words(&listed));
    });
}
