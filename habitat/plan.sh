# shellcheck shell=bash disable=SC2034,SC2154
# hab-plan-build reads the pkg_* names, and sets $PLAN_CONTEXT, $HAB_CACHE_SRC_PATH and $pkg_dirname.
pkg_name=habops
pkg_origin=habitat
pkg_version=0.1.0
pkg_maintainer="The Habitat Maintainers <humans@habitat.sh>"
pkg_license=('Apache-2.0')
pkg_description="A Slack ChatOps bot for the engineers who run Habitat Builder"
pkg_bin_dirs=(bin)
pkg_deps=(
  core/cacerts
  core/curl
  core/gcc-libs
  core/glibc
)
pkg_build_deps=(
  core/cacerts
  core/coreutils
  core/gcc
  core/rust
)

do_prepare() {
  # Beside the source, not in it: a build in the studio must not mix with one outside.
  export CARGO_TARGET_DIR="$HAB_CACHE_SRC_PATH/$pkg_dirname"
  SSL_CERT_FILE="$(pkg_path_for core/cacerts)/ssl/cert.pem"
  export SSL_CERT_FILE
}

do_build() {
  pushd "$PLAN_CONTEXT/.." >/dev/null || return
  # Without the sandbox: a production binary holds no stand-ins.
  cargo build --release --locked --no-default-features
  popd >/dev/null || return
}

do_install() {
  install -v -D "$CARGO_TARGET_DIR/release/habops" "$pkg_prefix/bin/habops"
}

do_strip() {
  # Cargo has done it.
  return 0
}
