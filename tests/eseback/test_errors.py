"""The error table against literal numbers: the published lists, not the code, are copied here."""

from __future__ import annotations

import pickle
import re

import pytest

from eseback import (
    ERRORS,
    ROW_BY_NAME,
    ConnectionLost,
    EseBackupError,
    Grade,
    JetErr,
    hresult_of_jet,
    row_of_hresult,
)
from eseback.errors import ROW_BY_JET

# JET number, JET name, HRESULT: the engine's errors.
ENGINE = """
-100 RfsFailure 0xC8000064
-102 FileClose 0xC8000066
-501 LogFileCorrupt 0xC80001F5
-503 NoBackupDirectory 0xC80001F7
-504 BackupDirectoryNotEmpty 0xC80001F8
-505 BackupInProgress 0xC80001F9
-506 RestoreInProgress 0xC80001FA
-509 MissingPreviousLogFile 0xC80001FD
-510 LogWriteFail 0xC80001FE
-511 LogDisabledDueToRecoveryFailure 0xC80001FF
-512 CannotLogDuringRecoveryRedo 0xC8000200
-513 LogGenerationMismatch 0xC8000201
-514 BadLogVersion 0xC8000202
-515 InvalidLogSequence 0xC8000203
-516 LoggingDisabled 0xC8000204
-517 LogBufferTooSmall 0xC8000205
-519 LogSequenceEnd 0xC8000207
-520 NoBackup 0xC8000208
-521 InvalidBackupSequence 0xC8000209
-523 BackupNotAllowedYet 0xC800020B
-524 DeleteBackupFileFail 0xC800020C
-525 MakeBackupDirectoryFail 0xC800020D
-526 InvalidBackup 0xC800020E
-527 RecoveredWithErrors 0xC800020F
-528 MissingLogFile 0xC8000210
-529 LogDiskFull 0xC8000211
-530 BadLogSignature 0xC8000212
-531 BadDbSignature 0xC8000213
-532 BadCheckpointSignature 0xC8000214
-533 CheckpointCorrupt 0xC8000215
-534 MissingPatchPage 0xC8000216
-535 BadPatchPage 0xC8000217
-536 RedoAbruptEnded 0xC8000218
-538 PatchFileMissing 0xC800021A
-539 DatabaseLogSetMismatch 0xC800021B
-540 DatabaseStreamingFileMismatch 0xC800021C
-541 LogFileSizeMismatch 0xC800021D
-542 CheckpointFileNotFound 0xC800021E
-543 RequiredLogFilesMissing 0xC800021F
-544 SoftRecoveryOnBackupDatabase 0xC8000220
-545 LogFileSizeMismatchDatabasesConsistent 0xC8000221
-546 LogSectorSizeMismatch 0xC8000222
-547 LogSectorSizeMismatchDatabasesConsistent 0xC8000223
-548 LogSequenceEndDatabasesConsistent 0xC8000224
-549 StreamingDataNotLogged 0xC8000225
-550 DatabaseDirtyShutdown 0xC8000226
-551 ConsistentTimeMismatch 0xC8000227
-552 DatabasePatchFileMismatch 0xC8000228
-553 EndingRestoreLogTooLow 0xC8000229
-554 StartingRestoreLogTooHigh 0xC800022A
-555 GivenLogFileHasBadSignature 0xC800022B
-556 GivenLogFileIsNotContiguous 0xC800022C
-557 MissingRestoreLogFiles 0xC800022D
-560 MissingFullBackup 0xC8000230
-561 BadBackupDatabaseSize 0xC8000231
-562 DatabaseAlreadyUpgraded 0xC8000232
-563 DatabaseIncompleteUpgrade 0xC8000233
-565 MissingCurrentLogFiles 0xC8000235
-566 DbTimeTooOld 0xC8000236
-567 DbTimeTooNew 0xC8000237
-569 MissingFileToBackup 0xC8000239
-570 LogTornWriteDuringHardRestore 0xC800023A
-571 LogTornWriteDuringHardRecovery 0xC800023B
-573 LogCorruptDuringHardRestore 0xC800023D
-574 LogCorruptDuringHardRecovery 0xC800023E
-575 MustDisableLoggingForDbUpgrade 0xC800023F
-577 BadRestoreTargetInstance 0xC8000241
-579 RecoveredWithoutUndo 0xC8000243
-580 DatabasesNotFromSameSnapshot 0xC8000244
-581 SoftRecoveryOnSnapshot 0xC8000245
-582 CommittedLogFilesMissing 0xC8000246
-586 CommittedLogFileCorrupt 0xC800024A
-610 ExistingLogFileHasBadSignature 0xC8000262
-611 ExistingLogFileIsNotContiguous 0xC8000263
-612 LogReadVerifyFailure 0xC8000264
-614 CheckpointDepthTooDeep 0xC8000266
-615 RestoreOfNonBackupDatabase 0xC8000267
-616 LogFileNotCopied 0xC8000268
-617 SurrogateBackupInProgress 0xC8000269
-618 TransactionTooLong 0xC800026A
-800 BackupAbortByCaller 0xC8000320
-801 BackupAbortByServer 0xC8000321
-900 InvalidGrbit 0xC8000384
-1000 TermInProgress 0xC80003E8
-1001 FeatureNotAvailable 0xC80003E9
-1003 InvalidParameter 0xC80003EB
1007 DatabaseAttached 0x880003EF
-1011 OutOfMemory 0xC80003F3
-1018 ReadVerifyFailure 0xC80003FA
-1019 PageNotInitialized 0xC80003FB
-1021 DiskReadVerificationFailure 0xC80003FD
-1022 DiskIO 0xC80003FE
-1023 InvalidPath 0xC80003FF
-1024 InvalidSystemPath 0xC8000400
-1025 InvalidLogDirectory 0xC8000401
-1029 NotInitialized 0xC8000405
-1030 AlreadyInitialized 0xC8000406
-1031 InitInProgress 0xC8000407
-1032 FileAccessDenied 0xC8000408
-1038 BufferTooSmall 0xC800040E
-1046 ColumnInUse 0xC8000416
-1080 RunningInOneInstanceMode 0xC8000438
-1081 RunningInMultiInstanceMode 0xC8000439
-1082 SystemParamsAlreadySet 0xC800043A
-1083 SystemPathInUse 0xC800043B
-1084 LogFilePathInUse 0xC800043C
-1085 TempPathInUse 0xC800043D
-1086 InstanceNameInUse 0xC800043E
-1090 InstanceUnavailable 0xC8000442
-1092 InstanceUnavailableDueToFatalLogDiskFull 0xC8000444
-1115 InvalidInstance 0xC800045B
-1118 ReadPgnoVerifyFailure 0xC800045E
-1119 ReadLostFlushVerifyFailure 0xC800045F
-1201 DatabaseDuplicate 0xC80004B1
-1202 DatabaseInUse 0xC80004B2
-1203 DatabaseNotFound 0xC80004B3
-1206 DatabaseCorrupted 0xC80004B6
-1209 InvalidDatabaseVersion 0xC80004B9
-1213 PageSizeMismatch 0xC80004BD
-1214 TooManyInstances 0xC80004BE
-1215 DatabaseSharingViolation 0xC80004BF
-1216 AttachedDatabaseMismatch 0xC80004C0
-1217 DatabaseInvalidPath 0xC80004C1
-1222 DatabaseSignInUse 0xC80004C6
-1231 DatabaseAttachedForRecovery 0xC80004CF
-1329 ClientRequestToStopJetService 0xC8000531
-1805 TooManyAttachedDatabases 0xC800070D
-1808 DiskFull 0xC8000710
-1811 FileNotFound 0xC8000713
-1850 AfterInitialization 0xC800073A
-1852 LogCorrupted 0xC800073C
-2401 OSSnapshotInvalidSequence 0xC8000961
-2402 OSSnapshotTimeOut 0xC8000962
-2403 OSSnapshotNotAllowed 0xC8000963
-2404 OSSnapshotInvalidSnapId 0xC8000964
-4001 FileIOBeyondEOF 0xC8000FA1
"""

# hr name, JET number, HRESULT: ntdsbmsg.h of the Windows SDK.
NTDSBMSG = """
hrFileClose -102 0xC8000066
hrOutOfThreads -103 0xC8000067
hrTooManyIO -105 0xC8000069
hrLogFileCorrupt -501 0xC80001F5
hrNoBackupDirectory -503 0xC80001F7
hrBackupDirectoryNotEmpty -504 0xC80001F8
hrBackupInProgress -505 0xC80001F9
hrMissingPreviousLogFile -509 0xC80001FD
hrLogWriteFail -510 0xC80001FE
hrBadLogVersion -514 0xC8000202
hrInvalidLogSequence -515 0xC8000203
hrLoggingDisabled -516 0xC8000204
hrLogBufferTooSmall -517 0xC8000205
hrLogSequenceEnd -519 0xC8000207
hrNoBackup -520 0xC8000208
hrInvalidBackupSequence -521 0xC8000209
hrBackupNotAllowedYet -523 0xC800020B
hrDeleteBackupFileFail -524 0xC800020C
hrMakeBackupDirectoryFail -525 0xC800020D
hrInvalidBackup -526 0xC800020E
hrRecoveredWithErrors -527 0xC800020F
hrMissingLogFile -528 0xC8000210
hrLogDiskFull -529 0xC8000211
hrBadLogSignature -530 0xC8000212
hrBadDbSignature -531 0xC8000213
hrBadCheckpointSignature -532 0xC8000214
hrCheckpointCorrupt -533 0xC8000215
hrDatabaseInconsistent -550 0xC8000226
hrConsistentTimeMismatch -551 0xC8000227
hrPatchFileMismatch -552 0xC8000228
hrRestoreLogTooLow -553 0xC8000229
hrRestoreLogTooHigh -554 0xC800022A
hrGivenLogFileHasBadSignature -555 0xC800022B
hrGivenLogFileIsNotContiguous -556 0xC800022C
hrMissingRestoreLogFiles -557 0xC800022D
hrExistingLogFileHasBadSignature 558 0x8800022E
hrExistingLogFileIsNotContiguous 559 0x8800022F
hrMissingFullBackup -560 0xC8000230
hrBadBackupDatabaseSize -561 0xC8000231
hrTermInProgress -1000 0xC80003E8
hrFeatureNotAvailable -1001 0xC80003E9
hrInvalidName -1002 0xC80003EA
hrInvalidParameter -1003 0xC80003EB
hrBufferTruncated 1006 0x880003EE
hrDatabaseAttached 1007 0x880003EF
hrInvalidDatabaseId -1010 0xC80003F2
hrOutOfMemory -1011 0xC80003F3
hrOutOfDatabaseSpace -1012 0xC80003F4
hrOutOfBuffers -1014 0xC80003F6
hrReadVerifyFailure -1018 0xC80003FA
hrOutOfFileHandles -1020 0xC80003FC
hrDiskIO -1022 0xC80003FE
hrInvalidPath -1023 0xC80003FF
hrTooManyOpenDatabases -1027 0xC8000403
hrInvalidDatabase -1028 0xC8000404
hrNotInitialized -1029 0xC8000405
hrAlreadyInitialized -1030 0xC8000406
hrFileAccessDenied -1032 0xC8000408
hrBufferTooSmall -1038 0xC800040E
hrInvalidFilename -1044 0xC8000414
hrInvalidBufferSize -1047 0xC8000417
hrDatabaseDuplicate -1201 0xC80004B1
hrDatabaseInUse -1202 0xC80004B2
hrDatabaseNotFound -1203 0xC80004B3
hrDatabaseInvalidName -1204 0xC80004B4
hrDatabaseInvalidPages -1205 0xC80004B5
hrDatabaseCorrupted -1206 0xC80004B6
hrDatabaseLocked -1207 0xC80004B7
hrObjectNotFound -1305 0xC8000519
hrTooManyAttachedDatabases -1805 0xC800070D
hrDiskFull -1808 0xC8000710
hrPermissionDenied -1809 0xC8000711
hrFileNotFound -1811 0xC8000713
hrFileOpenReadOnly 1813 0x88000715
hrAfterInitialization -1850 0xC800073A
hrLogCorrupted -1852 0xC800073C
hrInvalidOperation -1906 0xC8000772
hrAccessDenied -1907 0xC8000773
"""

# hr name, HRESULT: the backup layer's codes of ntdsbmsg.h, unconfirmed for this API.
BACKUP_LAYER = """
hrNyi 0xC0000001
hrInvalidParam 0xC7FF0001
hrError 0xC7FF0002
hrInvalidHandle 0xC7FF0003
hrRestoreInProgress 0xC7FF0004
hrAlreadyOpen 0xC7FF0005
hrInvalidRecips 0xC7FF0006
hrCouldNotConnect 0xC7FF0007
hrRestoreMapExists 0xC7FF0008
hrIncrementalBackupDisabled 0xC7FF0009
hrLogFileNotFound 0xC7FF000A
hrCircularLogging 0xC7FF000B
hrNoFullRestore 0xC7FF000C
hrCommunicationError 0xC7FF000D
hrFullBackupNotTaken 0xC7FF000E
hrMissingExpiryToken 0xC7FF000F
hrUnknownExpiryTokenFormat 0xC7FF0010
hrContentsExpired 0xC7FF0011
"""

# name, HRESULT: what a public page or a working client confirms for this API.
CONFIRMED = """
hrErrorFromESECall 0xC7FF1004
hrRestoreAtFileLevel 0xC7FF0FA5
hrCBDatabaseInUse 0xC7FE1F41
hrCBDatabaseNotFound 0xC7FE1F42
hrBackupInProgress 0xC80001F9
hrInvalidBackup 0xC800020E
hrMissingFullBackup 0xC8000230
hrLogfileHasBadSignature 0xC8000262
hrLogfileNotContiguous 0xC8000263
"""


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def test_the_lists_are_whole() -> None:
    assert [len(_lines(text)) for text in (ENGINE, NTDSBMSG, BACKUP_LAYER)] == [136, 78, 18]


@pytest.mark.parametrize(("jet", "name", "hresult"), _lines(ENGINE))
def test_every_engine_error_has_its_row(jet: str, name: str, hresult: str) -> None:
    row = ROW_BY_JET[int(jet)]
    assert row.hresult == int(hresult, 16)
    assert row.jet_name == ("JET_err" if int(jet) < 0 else "JET_wrn") + name
    assert hresult_of_jet(int(jet)) == int(hresult, 16)


@pytest.mark.parametrize(("name", "jet", "hresult"), _lines(NTDSBMSG))
def test_every_sdk_name_has_its_row(name: str, jet: str, hresult: str) -> None:
    row = ROW_BY_NAME[name]
    assert (row.jet, row.hresult) == (int(jet), int(hresult, 16))
    assert row.grade is Grade.DOCUMENTED


@pytest.mark.parametrize(("name", "hresult"), _lines(BACKUP_LAYER))
def test_every_backup_layer_code_is_inferred(name: str, hresult: str) -> None:
    row = ROW_BY_NAME[name]
    assert (row.jet, row.hresult, row.grade) == (None, int(hresult, 16), Grade.INFERRED)


@pytest.mark.parametrize(("name", "hresult"), _lines(CONFIRMED))
def test_confirmed_codes(name: str, hresult: str) -> None:
    row = ROW_BY_NAME[name]
    assert row.hresult == int(hresult, 16)
    assert row.grade in (Grade.DOCUMENTED, Grade.OBSERVED)


def test_codes_known_by_name_only_are_assumed_and_stay_in_their_facility() -> None:
    for name in ("hrErrorFromCallbackCall", "hrLoadCallbackFunctionFailed"):
        row = ROW_BY_NAME[name]
        assert row.grade is Grade.ASSUMED
        assert row.hresult >> 16 == 0xC7FF


def test_nothing_is_twice_and_every_row_says_where_it_is_from() -> None:
    assert len({row.name for row in ERRORS}) == len(ERRORS)
    assert len({row.hresult for row in ERRORS}) == len(ERRORS)
    numbers = [row.jet for row in ERRORS if row.jet is not None]
    assert len(set(numbers)) == len(numbers)
    assert all(row.text and row.source for row in ERRORS)
    assert all(0 <= row.hresult <= 0xFFFFFFFF for row in ERRORS)


def test_members_and_rows_are_the_same_set() -> None:
    assert {int(member) for member in JetErr} == set(ROW_BY_JET)


@pytest.mark.parametrize("member", JetErr, ids=lambda member: member.name)
def test_member_names_are_those_of_jet(member: JetErr) -> None:
    jet_name = ROW_BY_JET[member].jet_name
    assert jet_name is not None
    warning = member > 0
    assert member.name.startswith("WRN_") == warning
    assert member.name.removeprefix("WRN_").replace("_", "") == jet_name[7:].upper()


def test_well_known_members() -> None:
    literals = {
        "BACKUP_IN_PROGRESS": -505,
        "NO_BACKUP": -520,
        "INVALID_BACKUP_SEQUENCE": -521,
        "MISSING_FILE_TO_BACKUP": -569,
        "BACKUP_ABORT_BY_SERVER": -801,
        "DISK_IO": -1022,
        "WRN_TARGET_INSTANCE_RUNNING": 578,
    }
    assert {name: int(JetErr[name]) for name in literals} == literals


def test_warnings_have_the_top_bit_set_and_are_still_no_errors() -> None:
    attached = ROW_BY_NAME["hrDatabaseAttached"]
    assert attached.hresult == 0x880003EF
    assert attached.is_warning
    assert {row.jet for row in ERRORS if row.is_warning} == {558, 559, 578, 1006, 1007, 1813}
    assert not ROW_BY_NAME["hrRestoreAtFileLevel"].is_warning
    assert not ROW_BY_NAME["ERROR_ACCESS_DENIED"].is_warning


def test_two_layers_have_a_restore_in_progress() -> None:
    assert ROW_BY_NAME["hrRestoreInProgress"].hresult == 0xC7FF0004
    assert hresult_of_jet(-506) == 0xC80001FA


@pytest.mark.parametrize("jet", [-1, -499, -4294, -9999, 12345])
def test_a_jet_error_without_a_row_is_wrapped(jet: int) -> None:
    assert jet not in ROW_BY_JET
    assert hresult_of_jet(jet) == 0xC7FF1004
    error = EseBackupError.from_jet(jet)
    assert (error.hresult, error.jet, error.name) == (0xC7FF1004, jet, "hrErrorFromESECall")


def test_success() -> None:
    assert hresult_of_jet(0) == 0
    row = row_of_hresult(0)
    assert row is not None
    assert row.name == "hrNone"


def test_error_from_jet() -> None:
    error = EseBackupError.from_jet(-505, "backup_setup", "group 1")
    assert error.hresult == 0xC80001F9
    assert error.is_jet(JetErr.BACKUP_IN_PROGRESS)
    assert error.row is ROW_BY_NAME["hrBackupInProgress"]
    assert re.fullmatch(
        r"backup_setup: hrBackupInProgress 0xC80001F9 \(JET error -505\): .+ \[group 1\]",
        str(error),
    )


def test_the_two_forms_of_one_error_are_known_as_the_same() -> None:
    direct = EseBackupError(0xC80001F9)
    wrapped = EseBackupError(0xC7FF1004, -505)
    assert direct.is_jet(-505)
    assert wrapped.is_jet(-505)
    assert "already running" in str(wrapped)


def test_signed_hresults_are_understood() -> None:
    signed = 0xC8000208 - (1 << 32)
    error = EseBackupError(signed)
    assert error.hresult == 0xC8000208
    assert error.is_jet(-520)
    row = row_of_hresult(signed)
    assert row is not None
    assert row.name == "hrNoBackup"


def test_error_from_name() -> None:
    error = EseBackupError.from_name("hrInvalidHandle", "backup_close_file")
    assert (error.hresult, error.jet) == (0xC7FF0003, None)
    assert str(error).startswith("backup_close_file: hrInvalidHandle 0xC7FF0003: ")
    with pytest.raises(KeyError):
        EseBackupError.from_name("hrNoSuchName")


def test_a_code_without_a_row_is_shown_as_it_is() -> None:
    error = EseBackupError(0x80004005, call="backup_prepare")
    assert error.row is None
    assert str(error) == "backup_prepare: 0x80004005: unknown code"


@pytest.mark.parametrize(
    "error",
    [
        EseBackupError.from_jet(-1018, "backup_read_file", "page 7"),
        ConnectionLost(call="backup_end", detail="reset by peer"),
    ],
)
def test_errors_survive_pickling(error: EseBackupError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.hresult, copy.jet, copy.call, copy.detail) == (
        error.hresult,
        error.jet,
        error.call,
        error.detail,
    )
    assert str(copy) == str(error)


def test_a_lost_connection_is_an_error_of_its_own_kind() -> None:
    error = ConnectionLost(call="backup_read_file")
    assert isinstance(error, EseBackupError)
    assert error.hresult == 0x800706BE
    assert ConnectionLost.from_name("hrCommunicationError").hresult == 0xC7FF000D
    assert isinstance(ConnectionLost.from_name("hrCommunicationError"), ConnectionLost)
