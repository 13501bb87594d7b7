//! PostgreSQL as a child: found, initialised as a user who is not root, started on a free loopback port, ended and waited for.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use tokio::{
    process::Command,
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::OWNER;

/// How long `initdb` may take, and how long the server until it answers, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a server that starts: it tells nobody when it is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Another process may take the port between our asking for it and the server's listening on it.
const TRIES: usize = 20;
/// How long the server may take to end before it is ended by force.
const END: Duration = Duration::from_secs(20);

/// Runs the server until standard input is closed, which it is when this program ends, however it ends; then stops it without waiting
/// for whoever is connected, and removes its files. Only what is started again is written to the disk first, which takes a while.
const KEEPER: &str = r#"dir=$1; shift
"$@" &
read -r _
if [ -e "$dir/comes-back" ]; then
  kill -INT $! 2>/dev/null
  wait $!
else
  kill -QUIT $! 2>/dev/null
  wait $!
  rm -rf "$dir"
fi"#;

/// The file that says that the server will be started again.
const COMES_BACK: &str = "comes-back";

/// Nothing here has to survive a crash, so nothing waits for the disk. 128 shards are made in one transaction, with a lock each.
const SETTINGS: [&str; 11] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "shared_buffers=64MB",
    "max_locks_per_transaction=1024",
    "log_min_messages=warning",
];

/// The folder with `postgres` and `initdb`.
#[derive(Debug)]
pub(super) struct Programs(PathBuf);

/// A running server. Clones are the same one.
#[derive(Clone)]
pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    programs: Programs,
    home: PathBuf,
    user: Option<User>,
    port: u16,
    password: String,
    /// Ends it for good.
    stop: CancellationToken,
    /// Ends the server that runs now.
    server: Mutex<CancellationToken>,
    /// Where it was started: a server that is started again must not end with the runtime of whoever asked for that.
    runtime: Handle,
    tasks: TaskTracker,
}

/// Somebody who is not root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// Where PostgreSQL is installed: on the path, or where Debian and Red Hat put it. The newest of several.
pub(super) fn installed() -> Option<Programs> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        // A link on the path leads to the folder that has the rest.
        .filter_map(|dir| fs::canonicalize(dir.join("postgres")).ok())
        .filter_map(|program| program.parent().map(Path::to_owned));
    let usual = ["/usr/lib/postgresql", "/usr"]
        .into_iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|dir| dir.parent() != Some(Path::new("/usr")) || is_pgsql(dir))
        .map(|dir| dir.join("bin"));
    let mut usual: Vec<PathBuf> = usual.collect();
    usual.sort_by_key(|dir| version(dir));
    on_path
        .chain(usual.into_iter().rev())
        .find(|dir| {
            ["postgres", "initdb"]
                .iter()
                .all(|name| dir.join(name).exists())
        })
        .map(Programs)
}

fn is_pgsql(dir: &Path) -> bool {
    dir.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("pgsql-"))
}

/// `/usr/lib/postgresql/15/bin` → 15
fn version(bin: &Path) -> u32 {
    let of = bin.parent().and_then(Path::file_name).unwrap_or_default();
    let of = of.to_string_lossy();
    let digits: String = of.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

fn password() -> String {
    hex::encode(rand::rng().random::<[u8; 12]>())
}

impl Cluster {
    pub(super) async fn start(
        programs: Programs,
        dir: &Path,
        stop: CancellationToken,
    ) -> Result<Self> {
        let user = unprivileged()?;
        let home = home(dir, user)?;
        let password = password();
        initialise(&programs, &home, user, &password).await?;
        let mut inner = Inner {
            programs,
            home,
            user,
            port: 0,
            password,
            server: Mutex::new(CancellationToken::new()),
            stop,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
        };
        for _ in 0..TRIES {
            inner.port = free_port()?;
            inner.serve()?;
            if inner.is_ready().await? {
                return Ok(Self(Arc::new(inner)));
            }
        }
        bail!("{TRIES} free ports were taken before PostgreSQL could have them");
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    pub(super) fn password(&self) -> &str {
        &self.0.password
    }

    pub(super) async fn connect(&self, database: &str) -> Result<Client> {
        self.0.connect(database).await
    }

    /// Ends the server, and whoever is connected with it.
    pub(super) async fn goes_down(&self) -> Result<()> {
        let file = self.0.home.join(COMES_BACK);
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        self.0.server().cancel();
        self.ended().await;
        Ok(())
    }

    /// Starts it again, on the same port and with the same rows.
    pub(super) async fn comes_back(&self) -> Result<()> {
        let _ = fs::remove_file(self.0.home.join(COMES_BACK));
        self.ended().await;
        self.0.serve()?;
        if !self.0.is_ready().await? {
            bail!("the port of the sandbox's PostgreSQL was taken meanwhile");
        }
        Ok(())
    }

    pub(super) async fn ended(&self) {
        self.0.tasks.wait().await;
    }
}

impl Inner {
    fn server(&self) -> MutexGuard<'_, CancellationToken> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, database: &str) -> Result<Client> {
        let url = format!(
            "postgres://{OWNER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        );
        super::connect(&url)
            .await
            .with_context(|| format!("cannot connect to the sandbox's {database}"))
    }

    /// Starts the server and a task that ends it.
    fn serve(&self) -> Result<()> {
        let home = &self.home;
        let log = fs::File::create(log(home)).context("cannot make a log for PostgreSQL")?;
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh"])
            .arg(home)
            .arg(self.programs.0.join("postgres"))
            .arg("-D")
            .arg(home.join("data"))
            .arg("-c")
            .arg(format!("port={}", self.port));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // A Ctrl-C at the terminal is for us: we end it when its turn comes.
            .process_group(0);
        of(&mut command, self.user);
        let _inside = self.runtime.enter();
        let mut keeper = command.spawn().context("cannot start PostgreSQL")?;
        let (input, stop) = (keeper.stdin.take(), self.stop.child_token());
        *self.server() = stop.clone();
        let until_its_end = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = keeper.wait() => {}
            }
            drop(input);
            if timeout(END, keeper.wait()).await.is_err() {
                tracing::error!("the sandbox's PostgreSQL does not end");
                let _ = keeper.kill().await;
            }
        };
        self.tasks.spawn_on(until_its_end, &self.runtime);
        self.tasks.close();
        Ok(())
    }

    /// Whether it answers; false where its port was taken.
    async fn is_ready(&self) -> Result<bool> {
        let home = &self.home;
        let began = Instant::now();
        loop {
            let Err(fault) = self.connect("postgres").await else {
                return Ok(true);
            };
            let said = fs::read_to_string(log(home)).unwrap_or_default();
            if said.contains("could not create any TCP/IP sockets") {
                return Ok(false);
            }
            if began.elapsed() > PATIENCE || said.contains("FATAL:  could not") {
                return Err(fault.context(format!("PostgreSQL does not start:\n{said}")));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn log(home: &Path) -> PathBuf {
    home.join("postgres.log")
}

async fn initialise(
    programs: &Programs,
    home: &Path,
    user: Option<User>,
    password: &str,
) -> Result<()> {
    let file = home.join("password");
    fs::write(&file, password).context("cannot write a password for PostgreSQL")?;
    belongs_to(&file, user)?;
    let mut command = Command::new(programs.0.join("initdb"));
    command
        .args(["--no-sync", "--no-locale", "--encoding=UTF8"])
        .args(["--auth=scram-sha-256", "--username", OWNER, "--pwfile"])
        .arg(&file)
        .arg("--pgdata")
        .arg(home.join("data"))
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    of(&mut command, user);
    let ran = timeout(PATIENCE, command.output())
        .await
        .context("initdb takes too long")?
        .context("cannot run initdb")?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        bail!("initdb ended with {}: {said}", ran.status);
    }
    Ok(())
}

/// An empty folder of the server's own. As root it is beside other temporary files: `dir` is often one that only root can look into.
fn home(dir: &Path, user: Option<User>) -> Result<PathBuf> {
    let home = match user {
        None => dir.join("datastore"),
        Some(_) => std::env::temp_dir().join(format!("habops-datastore-{}", password())),
    };
    let made = || {
        if home.exists() {
            fs::remove_dir_all(&home)?; // of one that was ended by force
        }
        fs::create_dir_all(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))
    };
    made().with_context(|| format!("cannot make {}", home.display()))?;
    belongs_to(&home, user)?;
    Ok(home)
}

fn belongs_to(path: &Path, user: Option<User>) -> Result<()> {
    let Some(User { uid, gid }) = user else {
        return Ok(());
    };
    chown(path, Some(uid), Some(gid))
        .with_context(|| format!("cannot give {} away", path.display()))
}

fn of(command: &mut Command, user: Option<User>) {
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
}

/// Whom the server runs as where we are root, which PostgreSQL refuses: `postgres`, or else `nobody`.
fn unprivileged() -> Result<Option<User>> {
    let uid = fs::metadata("/proc/self").map_or(1, |own| own.uid());
    if uid != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let named = |wanted: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (_, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
            (name == wanted).then_some(User {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
            })
        })
    };
    match named("postgres").or_else(|| named("nobody")) {
        Some(user) => Ok(Some(user)),
        None => {
            bail!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
        }
    }
}

/// A port nobody has, from below those that kernels give away on their own (49152 by IANA, 32768 on Linux): so nobody is given it
/// while the server is stopped.
fn free_port() -> Result<u16> {
    let mut ports = (0..TRIES).map(|_| rand::random_range(20_000..32_768));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port on 127.0.0.1")
}
