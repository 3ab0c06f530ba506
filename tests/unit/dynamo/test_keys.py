from hypothesis import given
from hypothesis import strategies as st

from zonal.dynamo import keys
from zonal.dynamo.items import encode_binary
from zonal.dynamo.keys import KeyPart, Schema

SCHEMA = Schema(b"\x00\x00\x00\x01", (KeyPart("p", "S"),), (KeyPart("s", "B"),))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_encoded_binary_compares_as_the_bytes_do(left: bytes, right: bytes) -> None:
    first, second = keys.encode({"B": encode_binary(left)}), keys.encode({"B": encode_binary(right)})
    assert (first > second) - (first < second) == (left > right) - (left < right)
    assert first == second or not first.startswith(second)


@given(st.text(max_size=20), st.text(max_size=20))
def test_encoded_strings_compare_by_utf8(left: str, right: str) -> None:
    first, second = keys.encode({"S": left}), keys.encode({"S": right})
    assert (first > second) - (first < second) == (left.encode() > right.encode()) - (left.encode() < right.encode())


@given(st.binary(max_size=10), st.binary(max_size=10))
def test_a_common_beginning_of_values_is_a_common_prefix_of_their_encodings(start: bytes, rest: bytes) -> None:
    assert keys.encode({"B": encode_binary(start + rest)}).startswith(keys.encode_beginning({"B": encode_binary(start)}))


@given(st.binary(min_size=1, max_size=10).filter(lambda prefix: prefix.strip(b"\xff")), st.binary(max_size=5))
def test_after_is_behind_everything_with_the_prefix(prefix: bytes, rest: bytes) -> None:
    assert prefix + rest < keys.after(prefix)


def test_items_of_one_partition_lie_together_in_the_order_of_their_sort_keys() -> None:
    low, high = ({"p": {"S": "x"}, "s": {"B": encode_binary(bytes([byte]))}} for byte in (1, 2))
    prefix = SCHEMA.partition_prefix([{"S": "x"}])
    assert SCHEMA.key(low).startswith(prefix) and SCHEMA.key(high).startswith(prefix)
    assert SCHEMA.key(low) < SCHEMA.key(high)


def test_each_partition_has_a_place_of_its_own_of_fixed_length() -> None:
    values = [{"S": "1"}, {"N": "1"}, {"B": "MQ=="}, {"N": "-1"}]
    digests = [keys.partition_digest([value]) for value in values]
    assert all(len(digest) == keys.PARTITION_LENGTH for digest in digests)
    assert len({digests[0], digests[1], digests[3]}) == 3
