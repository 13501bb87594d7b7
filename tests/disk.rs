//! A disk that is full or may only be read: the real program, with its memory on a small file system of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::world::{
    Setup, World, of_metadata,
    program::{Ran, Running, habops_by},
    words,
};

/// Room for the store and little more.
const SIZE: &str = "4m";
/// What the log says once commands are accepted.
const READY: &str = "commands are accepted";
const LOOK: [&str; 4] = ["do", "--", "status", "live/api"];
const CHANGE: [&str; 6] = ["do", "--json", "--", "freeze", "live", "maintenance"];
/// What to do about a full disk.
const MAKE_ROOM: &str = "free some space there";

/// A file system in memory that only the programs run through it see. Gone with the process that holds it.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    fn new(at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c"])
            .arg("mount -t tmpfs -o \"size=$2\" none \"$1\" && echo mounted && exec cat")
            .arg("sh")
            .arg(at)
            .arg(SIZE)
            .stdin(Stdio::piped()) // closed when the test ends, however it ends
            .stdout(Stdio::piped())
            .spawn()
            .expect("no `unshare`: apt-get install -y util-linux");
        let mut said = String::new();
        let out = holder.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        assert_eq!(
            said, "mounted\n",
            "this machine lets nobody mount a file system of their own (`unshare -rm`): run the tests as root, or set \
             kernel.unprivileged_userns_clone=1"
        );
        let at = at.to_owned();
        Self { holder, at }
    }

    /// What a program is run through to see it.
    fn by(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "-t", &pid, "-U", "-m", "--preserve-credentials"]
            .map(str::to_owned)
            .to_vec()
    }

    fn runs(&self, script: &str) {
        let by = self.by();
        let ran = Command::new(&by[0])
            .args(&by[1..])
            .args(["sh", "-c", script, "sh"])
            .arg(&self.at)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{script}: {ran:?}");
    }

    fn is_full(&self) {
        self.runs("! head -c 1G /dev/zero >\"$1/filler\"");
    }

    fn has_room(&self) {
        self.runs("rm \"$1/filler\"");
    }

    fn may_only_be_read(&self) {
        self.runs("mount -o remount,ro \"$1\"");
    }

    fn may_be_written(&self) {
        self.runs("mount -o remount,rw \"$1\"");
    }

    /// The store here is what the words are about.
    fn is_named(&self, ran: &Ran, said: &[&str]) {
        let told = format!("{}{}", ran.out, ran.err);
        let file = self.at.join("habops.db");
        for said in [said, &[file.to_str().unwrap()]].concat() {
            assert!(told.contains(said), "`{said}`: {ran:?}");
        }
    }

    /// The world's configuration, but for the store, which is here.
    fn config(&self, world: &World) -> String {
        let text = fs::read_to_string(world.config()).unwrap();
        let own = format!("url = \"sqlite:{}/habops.db\"", self.at.display());
        let moved = text.replace("url = \"sqlite:habops.db\"", &own);
        assert_ne!(moved, text);
        let file = world.config().with_file_name("small.toml");
        fs::write(&file, moved).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Plays a scene on the sandbox's fleet, with a store on a small disk and no bot yet; `habops` runs the program on it.
fn on_a_small_disk(scene: impl AsyncFnOnce(&World, &SmallDisk, &dyn Fn(&[&str]) -> Ran)) {
    Setup::default().without_the_app().run(async |world| {
        let disk = SmallDisk::new(&world.dir().join("small"));
        let config = disk.config(world);
        let habops = |words: &[&str]| {
            let (word, rest) = words.split_first().unwrap();
            habops_by(&disk.by(), &[&[*word, "--config", &config], rest].concat())
        };
        scene(world, &disk, &habops).await;
    });
}

/// It goes on as if nothing had been, and what was written before is whole.
fn goes_on(habops: &dyn Fn(&[&str]) -> Ran) {
    let ran = habops(&LOOK);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.out.contains("Unrecorded"), "{ran:?}");
    let verified = habops(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.out.starts_with("ok "), "{verified:?}");
}

/// Where there is no store yet, everything that needs one ends with the code for a configuration that cannot be used, and says this.
fn cannot_begin(habops: &dyn Fn(&[&str]) -> Ran, disk: &SmallDisk, said: &[&str]) {
    for words in [&LOOK[..], &CHANGE, &["audit", "verify"], &["start"]] {
        let ran = habops(words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert!(ran.out.is_empty(), "{words:?}: {ran:?}");
        disk.is_named(&ran, said);
    }
    is_found_by_a_check(habops);
}

/// Where there is one, it may still be opened (what an earlier process left beside it decides that): then a look is answered unrecorded, a
/// change is refused, and what was written before can be read. The bot begins in neither case.
fn cannot_write(habops: &dyn Fn(&[&str]) -> Ran, disk: &SmallDisk, said: &[&str]) {
    let look = habops(&LOOK);
    assert!([0, 2].contains(&look.code), "{look:?}");
    assert_eq!(look.out.contains("Unrecorded"), look.code == 0, "{look:?}");
    let change = habops(&CHANGE);
    assert!([3, 2].contains(&change.code), "{change:?}");
    assert_eq!(change.out.is_empty(), change.code == 2, "{change:?}");
    let start = habops(&["start"]);
    assert_eq!((start.code, start.out.as_str()), (2, ""), "{start:?}");
    for ran in [look, change, start] {
        disk.is_named(&ran, said);
    }
    let verified = habops(&["audit", "verify"]);
    if verified.code == 0 {
        assert!(verified.out.starts_with("ok "), "{verified:?}");
    } else {
        assert_eq!(verified.code, 2, "{verified:?}");
        disk.is_named(&verified, said);
    }
    is_found_by_a_check(habops);
}

fn is_found_by_a_check(habops: &dyn Fn(&[&str]) -> Ran) {
    let checked = habops(&["check"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.out.contains("FAILED"), "{checked:?}");
}

#[test]
fn a_full_disk_is_a_sentence_at_the_terminal() {
    on_a_small_disk(async |_, disk, habops| {
        disk.is_full();
        cannot_begin(habops, disk, &["the disk is full", MAKE_ROOM]);
        disk.has_room();
        goes_on(habops);
        disk.is_full();
        cannot_write(habops, disk, &["the disk is full", MAKE_ROOM]);
        disk.has_room();
        goes_on(habops);
    });
}

#[test]
fn a_disk_that_may_only_be_read_is_a_sentence_at_the_terminal() {
    on_a_small_disk(async |_, disk, habops| {
        disk.may_only_be_read();
        cannot_begin(habops, disk, &["read-only", "mount the disk writable"]);
        disk.may_be_written();
        goes_on(habops);
        disk.may_only_be_read();
        cannot_write(habops, disk, &["read-only", "mount the disk writable"]);
        disk.may_be_written();
        goes_on(habops);
    });
}

#[test]
fn a_bot_whose_disk_fills_up_answers_looks_and_refuses_changes_until_there_is_room() {
    on_a_small_disk(async |world, disk, habops| {
        let config = disk.config(world);
        let mut bot = Running::start_by(&disk.by(), &["start", "--config", &config]);
        bot.logs(READY);
        let ana = world.person("ana");
        let before = ana.types("/habops status live-builder-api-0").await;
        world.shows(&before.operation, "done").await;

        disk.is_full();
        let file = disk.at.join("habops.db");
        let look = ana.types("/habops status live-builder-api-0").await;
        for said in ["cannot write its memory", MAKE_ROOM, file.to_str().unwrap()] {
            assert!(look.ack.contains(said), "{said}: {look:?}");
        }
        let answer = ana
            .hears("Unrecorded: habops cannot write its memory")
            .await;
        let told = words(&answer);
        assert!(told.contains("live-builder-api-0 is up"), "{told}");
        let change = ana.types("/habops freeze live \"disk is full\"").await;
        for said in ["Changes are refused", MAKE_ROOM] {
            assert!(change.ack.contains(said), "{said}: {change:?}");
        }
        // So at a terminal beside it, on the same store.
        let look = habops(&["do", "--", "status", "live/api"]);
        assert_eq!(look.code, 0, "{look:?}");
        assert!(look.out.contains("Unrecorded"), "{look:?}");
        let change = habops(&["do", "--", "freeze", "live", "disk is full"]);
        assert_eq!(change.code, 3, "{change:?}");
        assert!(change.out.contains(MAKE_ROOM), "{change:?}");
        let change = habops(&["do", "--json", "--", "freeze", "live", "disk is full"]);
        assert_eq!(change.code, 3, "{change:?}");
        let said: serde_json::Value = serde_json::from_str(&change.out).unwrap();
        assert_eq!(said["state"], "refused", "{said}");

        disk.has_room();
        let after = ana.types("/habops status live-builder-api-0").await;
        let shown = world.shows(&after.operation, "done").await;
        assert_eq!(of_metadata(&shown, "key"), after.operation);
        goes_on(habops);
        assert_eq!(bot.is_told_to_stop(), 0);
        assert!(!bot.err().contains("panicked"), "{}", bot.err());
    });
}
