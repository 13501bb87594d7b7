//! The `habops` program: the command line of design section 9.

mod cli;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Ending};

fn main() -> ExitCode {
    #[cfg(feature = "sandbox")]
    if let Some(code) = as_a_nodes_tool() {
        return code;
    }
    // One provider for every TLS connection; a second call would say that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("habops: cannot start its threads: {error}");
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(cli::run(cli, &mut Cli::command()));
    // Whatever still blocks, such as a read from a terminal, must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(Ending(code)) => ExitCode::from(code),
        Err(fault) => {
            eprintln!("habops: {}", fault.said);
            ExitCode::from(fault.code)
        }
    }
}

/// The sandbox's nodes run this program as their `hab`, `systemctl` and `journalctl`: quick, without a runtime.
#[cfg(feature = "sandbox")]
fn as_a_nodes_tool() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [word, dir, name, rest @ ..] = args.as_slice() else {
        return None;
    };
    (word == "sandbox-tool").then(|| {
        let code = habops::sandbox::nodes::tool::main(dir.as_ref(), name, rest);
        ExitCode::from(u8::try_from(code).unwrap_or(1))
    })
}
