"""Single-object encoding: fingerprints by the specification, and schemas that evolve."""

import base64
import copy
import json
import zlib

import fastavro.schema
import numpy as np
import pytest

from schemas import segment_batch, window_batch
from schemas.columns import empty
from schemas.framing import MARKER, Codec, MessageError, bundled, crc64, fingerprint
from tests.schemas.generated import differing, expected, segments
from tests.schemas.test_segment_batch import HEAD

# segments(424242, 25, 3, False) with HEAD, zlib and base85.
FIRST_VERSION = zlib.decompress(
    base64.b85decode(
        "c-ozmYgANK6vzK}W<W5o5QPyCWg;>_hXLggDlc^*V2FgMAP;#262pK%B=V4fX&4wKMZ$@A7%(z|sKhv#PZ*Jhk%{>lF@%zZFDwx="
        "VCWFFvJZXfto6J1+`ZR6`<#9M`?ON54E@|VTk}2|BZi}?6_p%gGxgvAG@Z01yohifW@&;plg5B;UTH)9Q~pr4uFVVp6hVVPBhU#`"
        "Hl1lRld$k_Z1C5h@bB@T4jmd<l*0cAr2aIWXIM;XxU+_t;xxAE&}}2C;O%B!zA!||Z+8z`S{3|rl`Obuk5RrVLPZaVcX3@}o7Z1k"
        "A9rB>lOSuM-=JjW_a|Z=&hHgJFLgV<$IALqccA6f7Aqr%=Fea6`(f*9b;)}E3Sj&?&?W_TGJwssK%G7L#xz3&eS(l+M0j8a7|4Kt"
        "6yV@3!1ydsesOx!3qAfhzzhHBcOu~(f-a$*P)V4WI=LkvI|<06fo%fdUL#pAcsgcezxLf%iy`$YoC=5Y>)R7wwTl<r_SDjv8A=t="
        "cbk53TA{%fzt61pI{Zvg=>JBj@}YMyr+Gudk|%l3-WsfZSDoMUro4N3in!uUYMEQhRhC}PWY>sEO@4Ta$D(H%EsGmkox@#+{ewT}"
        "%=7p9uJv4eVsBfe%Wh5fK(fIn9sZYn^h-R`E8bb)8XTy*M>%elC5YD-us5ZI)YYs=axzmUblTiZIUXr)UoVv%U6$D?DT=4hk#d|b"
        "><??`JlzqpY|<v0eN;I6KKt#^TR|$tj4Z*xXc2Qm_($9`uWje<tad+A-cBLWqgLKPPN(G^)rAPioUpfI@3(#rV5W+C!CnP~^Cd#m"
        ";A9lGoBLdh&A`FDJ!a*eKu2YB3~pj%7L2{v(hfHmq#si5B!xX{xb-pQ=zR%CxmQ5OeUhamvEJghO(czK3m3*<Q|O4_JlM;EU45wM"
        "?JmImP_`cW5$AwD=fI|62BMNz9u6XcJ+<iy8#i#R2u;@}GqmU7$=a}D&LhBg;KW7vfaU;`z7I^?SR~8xb@G0R2++Ge=LYK0c>za<"
        "tw+btLC<BgrY@10{ZiFIl;Bo3(ya~KqzagZB`|*+CK~)CUxt0C7(z|QBQ2IUp!kNLON6HNV&i&T$K3TeFg{j%j3Qa=E{z*~ITPsZ"
        "-tA8W_VffwQyoR>t1w^adxLWfC~+ybgE!vgpiTY2KItI>63TNb#eidL+jG){J_j&TQVZq#p!E$Es$U~gul~h|=u}r5_7-`kcIZUH"
        "K=I@vHyijRLb(xs@QVVi;2}dt8!vOe*iw6qC|+$W#~qj%f*-SGcaG2&v1UOs4!Km^ySj5AM)VmBP?lrDMUnW7IqR*gt)vr_U*5o3"
        "xPOdOCi9Aen=r9xv&K_3@S$8^3@@zCLA|!Q!{dfX2z{MNr%iQ3F)0rSpB8Zw$gJBd7g$Fok0xhNxk<0-3P?xUg0XKjZj}~rX*^7d"
        "!(fl&Y~jdKkzORSPNy#P`3_hcv_OQt2(rZ0!OKI}c_`?PmxSy9*7Q_oko<HJda4EoPmGW%GYx?X(!Q!YW-PEV@DoBOXFL2V$F5zZ"
        "^u2&YLZ_n^rlv5O;B&c7NKOWB-UN6&V`Kb^z(DL`3DPqMkeLajrvn8A78XQGA`y-_w*OxDm}JQyE_XLzuEA%eWCOA~*a_mSk|ely"
        "Z#qUGSho(@sH}wVCeO&+xv(QQl0Ug^#>R?^p}>(NNORrQ*prXZQDFXj@{=9)^bmrC1nf9}H!D1LImb4-!DC(>{YRNpz&mrtPrYrT"
        "Gn~o{bSzU^x(73#t;rm7bDY78GbyW@L(wUUK{4nIS~mTPlj%fy(pRzJH4TjiKP*kNR<<PAG<htRz0qjpU9RY=EEb!sxZ7xH!9O0$"
        "E?n8WfiDvM&~13zcV=00(<#-h^7}>(E}@#zjZR+|m7pxi!qqd$(_Y&<x<~Rnz-5hbP61oUh)<6z8`X=jK7CERKR+tBwJqemDpreQ"
        "SYChH`JOd*QnzI*>b2AMRX>*s*A@*g-*4lU+h~41gsJW?OD$<M%LzSM<?=GcgL^luW0af9x>9I5X@Bk<k9oPO{SVu(aJ&"
    )
)

# The Avro specification's own examples (share/test/data/schema-tests.txt).
SPECIFICATION = (
    ('"null"', 7195948357588979594),
    ('"boolean"', -6970731678124411036),
    ('"int"', 8247732601305521295),
    ('"long"', -3434872931120570953),
    ('"float"', 5583340709985441680),
    ('"double"', -8181574048448539266),
    ('"bytes"', 5746618253357095269),
    ('"string"', -8142146995180207161),
    ('{"name":"foo","type":"record","fields":[]}', -4824392279771201922),
)


@pytest.mark.parametrize(("canonical", "value"), SPECIFICATION)
def test_fingerprints_of_the_specification(canonical, value):
    assert crc64(canonical.encode()) == value % 2**64


@pytest.mark.parametrize("module", [segment_batch, window_batch])
def test_fingerprints_agree_with_fastavro(module):
    schema = bundled(module.__name__.rpartition(".")[2])[0]
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    assert fastavro.schema.fingerprint(canonical, "CRC-64-AVRO") == fingerprint(schema).hex()


def test_messages_carry_marker_and_fingerprint():
    message = segment_batch.encode(HEAD, empty(0))
    assert message[:2] == MARKER == b"\xc3\x01"
    assert message[2:10] == fingerprint(bundled("segment_batch")[0])


def test_unknown_fingerprints_are_told():
    message = bytearray(segment_batch.encode(HEAD, empty(0)))
    message[5] ^= 1
    with pytest.raises(MessageError, match="unknown schema fingerprint"):
        segment_batch.decode(bytes(message))
    for broken in (b"", b"\xc3", b"\xc3\x01\x00", b"\x00" + bytes(message[1:]), b"{}"):
        with pytest.raises(MessageError, match="no single-object"):
            segment_batch.decode(broken)


def test_bytes_behind_the_end_are_refused():
    with pytest.raises(MessageError, match="behind its end"):
        segment_batch.decode(segment_batch.encode(HEAD, empty(0)) + b"\x00")


def test_a_former_schemas_messages_are_read():
    """A version without a column that came later (with a default), and with one that has gone since."""
    today = bundled("segment_batch")[0]
    former = copy.deepcopy(today)
    former["fields"] = [field for field in former["fields"] if field["name"] not in ("capture", "dropped")]
    former["fields"].append({"name": "gone", "type": "bytes"})
    record = segment_batch.codec().unpack(segment_batch.encode(HEAD, segments(1, 20, 2, False)))
    record["gone"] = b"whatever"
    message = Codec(former, []).pack(record)
    with pytest.raises(MessageError, match="unknown schema"):
        segment_batch.decode(message)
    read = Codec(today, [former]).unpack(message)
    assert read["capture"] is None
    assert read["dropped"] is None
    assert "gone" not in read
    assert all(read[name] == value for name, value in record.items() if name not in ("capture", "dropped", "gone"))


def test_the_first_versions_message_is_read():
    """A message written by the first version, kept as it was then."""
    made = segments(424242, 25, 3, False)
    found = segment_batch.decode(FIRST_VERSION)
    assert found.head == HEAD
    assert differing(expected(made), found.segments) == []


@pytest.mark.parametrize("name", ["segment_batch", "window_batch"])
def test_every_field_is_documented(name):
    def walk(schema):
        if isinstance(schema, list):
            for one in schema:
                walk(one)
        elif isinstance(schema, dict):
            for field in schema.get("fields", ()):
                assert field["doc"], field["name"]
                walk(field["type"])
            walk(schema.get("items"))

    for schema in bundled(name):
        assert schema["doc"]
        walk(schema)


def test_the_window_schema_file_is_made_from_the_row_definitions():
    """If rows.py has changed: keep the old file as window_batch.N.avsc, then python -m schemas.window_batch."""
    assert window_batch.schema() in bundled("window_batch")
    assert json.loads(json.dumps(window_batch.schema())) == window_batch.schema()


def test_bulk_decoding_allocates_by_what_is_there():
    """A message of a few bytes that claims many segments is refused before anything is allocated for them."""
    record = segment_batch.codec().unpack(segment_batch.encode(HEAD, empty(0)))
    record["segments"] = segment_batch.MAX_SEGMENTS
    with pytest.raises(MessageError):
        segment_batch.decode(segment_batch.codec().pack(record))
    assert np.iinfo(np.int32).max > segment_batch.MAX_SEGMENTS
