//! Which shard a thing of Builder's is in, by its name or by its id (`facts/habitat.md` section 1). Pure arithmetic.

use jiff::Timestamp;

/// How many shards Builder has where nobody says otherwise.
pub const SHARDS: u16 = 128;
/// The databases of Builder's services.
pub const DATABASES: [&str; 3] = ["builder_originsrv", "builder_sessionsrv", "builder_jobsrv"];
/// Those of them that are sharded where nobody says otherwise.
pub const SHARDED: [&str; 2] = ["builder_originsrv", "builder_sessionsrv"];

/// 2014-08-28T22:49:51Z, from which the databases count an id's milliseconds. Builder's Rust code counts from another one and never
/// made an id that is in a database.
const EPOCH_MS: i64 = 1_409_266_191_000;
const SHARD_BITS: u32 = 13;
const SEQUENCE_BITS: u32 = 10;

/// An id as the databases make them: milliseconds since their epoch, then 10 bits of a sequence, then 13 bits of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub u64);

impl Id {
    /// Its low 13 bits. Only below the number of shards is it a shard at all; other numbers are no ids of Builder's.
    pub fn shard(self) -> u16 {
        low_bits(self.0, SHARD_BITS)
    }

    /// Which one of its millisecond it is.
    pub fn sequence(self) -> u16 {
        low_bits(self.0 >> SHARD_BITS, SEQUENCE_BITS)
    }

    /// When it was made.
    pub fn made(self) -> Timestamp {
        let milliseconds = i64::try_from(self.0 >> (SHARD_BITS + SEQUENCE_BITS))
            .expect("41 bits fit into 64")
            .saturating_add(EPOCH_MS);
        Timestamp::from_millisecond(milliseconds).expect("41 bits of milliseconds end in 2084")
    }
}

fn low_bits(number: u64, bits: u32) -> u16 {
    u16::try_from(number & ((1 << bits) - 1)).expect("13 bits fit into 16")
}

/// FNV-1a 64 over the bytes as they are: no lower case, no trimming.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The shard of a name. A package's or project's is that of its [`origin`].
pub fn of_name(name: &str, shards: u16) -> u16 {
    of_number(hash(name), shards)
}

/// The shard of a key that is a plain number and no id.
pub fn of_number(number: u64, shards: u16) -> u16 {
    u16::try_from(number % u64::from(shards.max(1))).expect("smaller than a number of 16 bits")
}

/// What Builder routes a package or project by: the text before the first `/`.
pub fn origin(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// The text as an id, where it is digits and nothing else and fits. What `op` takes for an id, and it hashes all else.
pub fn id(text: &str) -> Option<Id> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok().map(Id)).flatten()
}

/// A shard's schema, `shard_30`.
pub fn schema(shard: u16) -> String {
    format!("shard_{shard}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("core", 30)]
    #[case("reset", 96)]
    #[case("habitat", 80)]
    #[case("chef", 21)]
    #[case("neurosis", 93)]
    #[case("bobo", 65)]
    #[case("mystique", 72)]
    #[case("smartb", 16)]
    #[case("eeyun", 81)]
    #[case("fnichol", 60)]
    #[case("raskchanky", 94)]
    #[case("chefsalim", 61)]
    #[case::hashed_whole("core/redis", 70)]
    #[case::nothing("", 37)]
    #[case::case_counts("Core", 126)]
    #[case::spaces_count(" core", 100)]
    #[case::digits_as_text("123", 91)]
    #[case::a_malformed_projects_name("screwedup", 35)]
    fn a_name_is_in_the_shard_of_its_hash(#[case] name: &str, #[case] shard: u16) {
        assert_eq!(of_name(name, SHARDS), shard);
    }

    #[rstest]
    #[case("core", 0x0bf2_fb91_1980_759e)]
    #[case("reset", 0x0f13_6ff2_c086_b760)]
    #[case("", 0xcbf2_9ce4_8422_2325)]
    fn the_hash_is_fnv_1a(#[case] name: &str, #[case] expected: u64) {
        assert_eq!(hash(name), expected);
    }

    #[rstest]
    #[case(721_096_872_374_083_614, 30, 5, "2017-05-19T21:00:36.853Z")]
    #[case(705_705_315_793_903_646, 30, 1, "2017-04-28T15:20:20.328Z")]
    #[case(705_705_305_031_319_582, 30, 1, "2017-04-28T15:20:19.045Z")]
    #[case(963_205_358_261_698_560, 0, 904, "2018-04-18T22:06:57.449Z")]
    #[case(967_456_711_518_330_880, 0, 241, "2018-04-24T18:53:38.251Z")]
    #[case(938_242_209_433_657_344, 0, 145, "2018-03-15T11:29:38.213Z")]
    #[case(944_181_123_019_268_096, 0, 395, "2018-03-23T16:09:11.882Z")]
    #[case::group(1_019_558_816_399_458_304, 0, 220, "2018-07-05T16:11:13.158Z")]
    #[case::job(1_019_558_817_747_509_248, 0, 937, "2018-07-05T16:11:13.318Z")]
    #[case(1_205_013_267_986_251_776, 0, 928, "2019-03-18T13:16:06.575Z")]
    #[case(1_276_892_465_138_892_800, 0, 976, "2019-06-25T17:27:14.601Z")]
    #[case(1_392_667_020_189_237_248, 0, 576, "2019-12-02T11:10:37.057Z")]
    #[case(1_555_913_058_574_704_640, 0, 485, "2020-07-14T16:51:21.315Z")]
    #[case::of_the_clis_help(771_100_000_000_000_000, 0, 622, "2017-07-27T20:47:54.172Z")]
    fn an_id_holds_its_shard_its_sequence_and_its_time(
        #[case] number: u64,
        #[case] shard: u16,
        #[case] sequence: u16,
        #[case] made: Timestamp,
    ) {
        let id = Id(number);
        assert_eq!(
            (id.shard(), id.sequence(), id.made()),
            (shard, sequence, made)
        );
    }

    #[rstest]
    #[case(1_984_198_419_841_984, 960, 64)]
    #[case(298_674_917_348_924, 572, 60)]
    fn builders_own_generator_takes_the_shard_from_the_sequence(
        #[case] auto_id: u64,
        #[case] part: u64,
        #[case] shard: u16,
    ) {
        assert_eq!(auto_id % 1024, part);
        assert_eq!(of_number(auto_id % 1024, SHARDS), shard);
    }

    #[rstest]
    #[case::a_github_users("274700", Some(4364))]
    #[case::small("123", Some(123))]
    #[case::overflows("99999999999999999999", None)]
    #[case::negative("-1", None)]
    #[case::signed("+1", None)]
    #[case::spaced(" 1", None)]
    #[case::a_name("core", None)]
    #[case::nothing("", None)]
    fn only_digits_that_fit_are_an_id(#[case] text: &str, #[case] shard: Option<u16>) {
        assert_eq!(id(text).map(Id::shard), shard);
    }

    #[test]
    fn every_number_is_an_id_of_some_time() {
        assert_eq!(Id(u64::MAX).shard(), 8191);
        assert_eq!(Id(u64::MAX).made().to_string(), "2084-05-04T14:37:26.551Z");
        assert_eq!(Id(0).made().to_string(), "2014-08-28T22:49:51Z");
    }

    #[test]
    fn a_package_is_with_its_origin() {
        assert_eq!(origin("core/redis"), "core");
        assert_eq!(origin("core"), "core");
        assert_eq!(schema(of_name(origin("core/redis"), SHARDS)), "shard_30");
    }
}
