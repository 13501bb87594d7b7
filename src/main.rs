//! The `habops` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "sandbox")]
    {
        let args: Vec<String> = std::env::args().skip(1).collect();
        if let [word, dir, name, rest @ ..] = args.as_slice()
            && word == "sandbox-tool"
        {
            let code = habops::sandbox::nodes::tool::main(dir.as_ref(), name, rest);
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
    }
    ExitCode::SUCCESS
}
