//! Job groups, end to end: listed, shown, promoted, cancelled, started.

use habops::domain::operation::State;

use super::{
    super::{
        datastore::{breakable, shared},
        world::{Setup, World, words},
    },
    releases::approved,
};

/// The oldest group of that state and project.
fn group(world: &World, state: &str, project: &str) -> String {
    let groups = world.sandbox.builder.groups(state).into_iter();
    let mut of_project = groups.filter(|(_, name)| name == project);
    of_project.next().expect("a group").0
}

/// What Builder was told to do. The bot of a world that has ended may still call the address that its Slack had.
fn told(world: &World) -> Vec<String> {
    let mut told = world.sandbox.builder.told();
    told.retain(|line| line.contains(" /v1/"));
    told
}

#[test]
fn groups_are_listed_by_what_matters_and_shown_with_where_they_failed() {
    World::run(async |world| {
        let dee = world.person("dee");
        let listed = dee.runs("/habops jobs").await;
        let shown = words(&listed);
        for wanted in [
            "2 Dispatching, 1 Queued, 3 Complete",
            "core/jruby has been dispatching for 3 h",
            "0 of 2 built, 1 building",
            "3 of 3 built",
        ] {
            assert!(shown.contains(wanted), "no `{wanted}` in {shown}");
        }
        let dispatching = words(&dee.runs("/habops jobs --state dispatching").await);
        assert!(
            dispatching.contains("2 job groups are Dispatching"),
            "{dispatching}"
        );
        assert!(!dispatching.contains("core/nginx"), "{dispatching}");
        let other = words(&dee.runs("/habops jobs --origin neurosis").await);
        assert!(other.contains("neurosis/np-mongodb"), "{other}");

        let failed = group(world, "Complete", "core/nginx");
        let shown = words(&dee.runs(&format!("/habops jobs show {failed}")).await);
        assert!(shown.contains("wk:run:build"), "{shown}");
        dee.types("/habops jobs --origin ../../v1").await;
        dee.hears("is not an origin's name").await;
        dee.types("/habops jobs show 7").await;
        dee.hears("Builder has no job group 7").await;
    });
}

#[test]
fn a_look_that_builder_refuses_says_why_to_all_and_where_to_look() {
    World::run(async |world| {
        world.breaks("builder-no-shard");
        let dee = world.person("dee");
        for typed in ["/habops jobs", "/habops jobs show 7"] {
            let shown = words(&dee.runs(typed).await);
            assert!(shown.contains("NO_SHARD (503, rt:route:2)"), "{shown}");
            assert!(shown.contains("Diagnose router"), "{shown}");
        }
    });
}

#[test]
fn a_group_is_promoted_as_far_as_builder_really_does() {
    World::run(async |world| {
        let cyd = world.person("cyd");
        let building = group(world, "Dispatching", "core/openssl");
        cyd.types(&format!("/habops jobs promote {building} stable"))
            .await;
        cyd.hears("3 of 4 packages").await;
        cyd.hears("core/curl InProgress").await;
        let failed = group(world, "Complete", "core/nginx");
        cyd.types(&format!("/habops jobs promote {failed} stable"))
            .await;
        cyd.hears("built no package").await;
        assert!(told(world).is_empty());

        // One of its two packages is of an origin that the token's account is no member of; Builder says 204 all the same.
        let mixed = group(world, "Complete", "core/redis");
        let (state, shown) = approved(&cyd, world, &format!("jobs promote {mixed} stable")).await;
        assert_eq!(state, "partly", "{shown}");
        assert!(shown.contains("1 of 2 packages are in stable"), "{shown}");
        assert!(shown.contains("Not promoted in: neurosis"), "{shown}");
        assert_eq!(
            told(world),
            [format!("POST /v1/jobs/group/{mixed}/promote/stable")]
        );
        let redis = "core/redis/4.0.2/20171118054402";
        assert_eq!(
            world.sandbox.builder.channels_of(redis),
            ["unstable", "stable"]
        );

        // The way back names what was promoted, and nothing else.
        let end = world
            .sees("operations", "1 of 2 packages are in stable")
            .await;
        cyd.presses(&end, "Undo").await;
        world
            .sees("operations", &format!("{redis} goes out of stable"))
            .await;
    });
}

#[test]
fn a_group_whose_promotion_is_swallowed_is_told_as_not_promoted() {
    World::run(async |world| {
        world.breaks("builder-swallows");
        let cyd = world.person("cyd");
        let whole = group(world, "Complete", "core/builder-api");
        let (state, shown) = approved(&cyd, world, &format!("jobs promote {whole} stable")).await;
        assert_eq!(state, "failed", "{shown}");
        assert!(shown.contains("0 of 3 packages are in stable"), "{shown}");
        assert!(shown.contains("said yes and left it out"), "{shown}");
    });
}

#[test]
fn every_dispatching_group_is_cancelled_by_itself_and_one_that_goes_on_is_said() {
    World::run(async |world| {
        world.breaks("builder-stuck");
        let ana = world.person("ana");
        let (jruby, openssl) = (
            group(world, "Dispatching", "core/jruby"),
            group(world, "Dispatching", "core/openssl"),
        );
        let (state, shown) = approved(&ana, world, "jobs cancel-dispatching").await;
        assert_eq!(state, "partly", "{shown}");
        assert!(shown.contains("1 of 2 groups are cancelled"), "{shown}");
        assert!(
            shown.contains("said yes, and it is still Dispatching"),
            "{shown}"
        );
        let state_of = |id: &str| world.sandbox.builder.state_of(id).unwrap();
        assert_eq!(state_of(&jruby), "Dispatching");
        assert_eq!(state_of(&openssl), "Canceled");
        assert_eq!(told(world).len(), 2);

        // Of an origin without access: 403, in words.
        let (state, shown) =
            approved(&ana, world, "jobs cancel-dispatching --origin neurosis").await;
        assert_eq!(state, "failed", "{shown}");
        assert!(shown.contains("Builder refuses (403)"), "{shown}");

        world.mends("builder-stuck");
        let (state, shown) = approved(&ana, world, &format!("jobs cancel {jruby}")).await;
        assert_eq!(state, "done", "{shown}");
        assert_eq!(state_of(&jruby), "Canceled");
        let said = ana.types(&format!("/habops jobs cancel {jruby}")).await;
        ana.hears("is Canceled").await;
        assert_eq!(world.ended(&said.operation).await.state, State::Refused);
        ana.types("/habops jobs cancel-dispatching").await;
        ana.hears("No group is Dispatching").await;
    });
}

#[test]
fn with_a_datastore_the_groups_of_every_origin_are_found() {
    let setup = Setup::default().datastore(shared());
    setup.run(async |world| {
        let ana = world.person("ana");
        let shown = words(&ana.runs("/habops jobs").await);
        let dispatching = world.sandbox.builder.groups("Dispatching");
        assert!(!dispatching.is_empty());
        for (id, project) in &dispatching {
            assert!(
                shown.contains(id) && shown.contains(project),
                "{id} in {shown}"
            );
        }
        assert!(
            shown.contains("of every origin, as the datastore has them"),
            "{shown}"
        );

        let said = ana.types("/habops jobs cancel-dispatching").await;
        let card = world.shows(&said.operation, "awaiting").await;
        for (id, _) in &dispatching {
            assert!(words(&card).contains(id), "{id} in {}", words(&card));
        }
        ana.presses(&card, "Deny").await;
        world.shows(&said.operation, "denied").await;
        assert!(told(world).is_empty());

        // While Builder's API is away, the datastore still tells what hangs.
        world.breaks("builder-page");
        let shown = words(&ana.runs("/habops jobs").await);
        assert!(shown.contains(&dispatching[0].0), "{shown}");
        assert!(shown.contains("answers 502 by itself"), "{shown}");
    });
}

#[test]
fn what_the_datastore_alone_knows_of_is_cancelled_through_the_api_as_well() {
    const OTHERS: &str = "77";
    let datastore = breakable();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let jobsrv = runtime
        .block_on(datastore.connect("builder_jobsrv"))
        .unwrap();
    let change = |sql: &str| runtime.block_on(jobsrv.batch_execute(sql)).unwrap();
    // Of an origin that nobody names, so that no list of the API's that is asked for has it.
    change(&format!(
        "CREATE TEMP TABLE kept AS SELECT id, project_state FROM shard_0.group_projects;
         CREATE TEMP TABLE begun AS SELECT id FROM shard_0.groups WHERE group_state = 'Dispatching';
         INSERT INTO shard_0.groups (id, group_state, project_name) VALUES ({OTHERS}, 'Dispatching', 'neurosis/np-mongodb')"
    ));
    Setup::default().datastore(&datastore).run(async |world| {
        let ana = world.person("ana");
        let dispatching = world.sandbox.builder.groups("Dispatching");
        assert_eq!(dispatching.len(), 3, "{dispatching:?}");
        let (state, shown) = approved(&ana, world, "jobs cancel-dispatching").await;
        assert_eq!(state, "partly", "{shown}");
        assert!(shown.contains("2 of 3 groups are cancelled"), "{shown}");
        assert!(shown.contains("Builder refuses (403)"), "{shown}");
        assert_eq!(told(world).len(), 3, "{:?}", told(world));
        let left = jobsrv
            .query(
                "SELECT id::text FROM shard_0.groups WHERE group_state = 'Dispatching'",
                &[],
            )
            .await
            .unwrap();
        let left: Vec<String> = left.iter().map(|row| row.get(0)).collect();
        assert_eq!(left, [OTHERS]);
    });
    change(&format!(
        "DELETE FROM shard_0.groups WHERE id = {OTHERS};
         UPDATE shard_0.groups g SET group_state = 'Dispatching' FROM begun WHERE begun.id = g.id;
         UPDATE shard_0.group_projects p SET project_state = kept.project_state FROM kept WHERE kept.id = p.id"
    ));
}

#[test]
fn a_build_is_asked_for_and_watched_to_its_end() {
    World::run(async |world| {
        let ana = world.person("ana");
        let (state, shown) = approved(&ana, world, "jobs start core/redis").await;
        assert_eq!(state, "done", "{shown}");
        assert!(shown.contains("is Complete: 1 of 1 built"), "{shown}");
        assert_eq!(
            told(world),
            ["POST /v1/depot/pkgs/schedule/core/redis?package_only=true"]
        );

        // While a group of the project dispatches, the next one waits; whoever stops watching leaves it to itself.
        let said = ana.types("/habops jobs start core/jruby").await;
        let card = world.shows(&said.operation, "awaiting").await;
        assert!(
            words(&card).contains("is Dispatching for 3 h"),
            "{}",
            words(&card)
        );
        ana.presses(&card, "Approve").await;
        world
            .eventually("the build to be asked for", async || {
                (told(world).len() == 2).then_some(())
            })
            .await;
        ana.types(&format!("/habops cancel {}", said.operation))
            .await;
        world.ended(&said.operation).await;
        let end = world.sees("operations", "the build goes on").await;
        ana.presses(&end, "Undo").await;
        world.sees("operations", "(core/jruby) is cancelled").await;

        ana.types("/habops jobs start core/redis/4.0.1").await;
        ana.hears("name the package alone, `core/redis`").await;
        let (state, shown) = approved(&ana, world, "jobs start neurosis/np-mongodb").await;
        assert_eq!(state, "failed", "{shown}");
        assert!(
            shown.contains("is not built: Builder refuses (403)"),
            "{shown}"
        );
    });
}
