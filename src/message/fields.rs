// SPDX-License-Identifier: MPL-2.0
//! The names of all fields of all messages, with their types: the one place where they stand.

use crate::nvlist::template::templates;

templates! {
    MSG_TYPE = "icm_msg_type", Uint8;
    MSGID = "icm_msgid", Uint64;

    // register_proxy_port
    ICRP_PORT_ID = "icrp_port_id", Nvlist;
    ICRP_RELATIVE_PORT_ID = "icrp_relative_port_id", Uint16;
    ICRP_CB_ARG_LEN = "icrp_cb_arg_len", Uint16;
    ICRP_CB_ARG = "icrp_cb_arg", Uint8Array;

    // deregister_proxy_port
    ICDP_PORT_ID = "icdp_port_id", Nvlist;
    ICDP_CB_ARG_LEN = "icdp_cb_arg_len", Uint16;
    ICDP_CB_ARG = "icdp_cb_arg", Uint8Array;

    // register_lun, deregister_lun, lun_active
    ICRL_LUN_ID = "icrl_lun_id", Uint8Array;
    ICRL_LU_PROVIDER_NAME = "icrl_lu_provider_name", String;
    ICRL_CB_ARG_LEN = "icrl_cb_arg_len", Uint16;
    ICRL_CB_ARG = "icrl_cb_arg", Uint8Array;

    // scsi_cmd
    ICSC_TASK_MSGID = "icsc_task_msgid", Uint64;
    ICSC_INI_DEVID = "icsc_ini_devid", Nvlist;
    ICSC_TGT_DEVID = "icsc_tgt_devid", Nvlist;
    ICSC_RPORT = "icsc_rport", Nvlist;
    ICSC_LUN_ID = "icsc_lun_id", Uint8Array;
    ICSC_SESSION_ID = "icsc_session_id", Uint64;
    ICSC_TASK_LUN_NO = "icsc_task_lun_no", Uint8Array;
    ICSC_TASK_EXPECTED_XFER_LENGTH = "icsc_task_expected_xfer_length", Uint32;
    ICSC_TASK_CDB_LENGTH = "icsc_task_cdb_length", Uint16;
    ICSC_TASK_CDB = "icsc_task_cdb", Uint8Array;
    ICSC_TASK_FLAGS = "icsc_task_flags", Uint8;
    ICSC_TASK_PRIORITY = "icsc_task_priority", Uint8;
    ICSC_TASK_MGMT_FUNCTION = "icsc_task_mgmt_function", Uint8;
    ICSC_IMMED_DATA_LEN = "icsc_immed_data_len", Uint32;
    ICSC_IMMED_DATA = "icsc_immed_data", Uint8Array;

    // scsi_data
    ICSD_TASK_MSGID = "icsd_task_msgid", Uint64;
    ICSD_SESSION_ID = "icsd_session_id", Uint64;
    ICSD_LUN_ID = "icsd_lun_id", Uint8Array;
    ICSD_DATA_LEN = "icsd_data_len", Uint64;
    ICSD_DATA = "icsd_data", Uint8Array;

    // scsi_data_xfer_done
    ICSX_TASK_MSGID = "icsx_task_msgid", Uint64;
    ICSX_SESSION_ID = "icsx_session_id", Uint64;
    ICSX_STATUS = "icsx_status", Uint64;

    // scsi_status
    ICSS_TASK_MSGID = "icss_task_msgid", Uint64;
    ICSS_SESSION_ID = "icss_session_id", Uint64;
    ICSS_LUN_ID = "icss_lun_id", Uint8Array;
    ICSS_RESPONSE = "icss_response", Uint8;
    ICSS_STATUS = "icss_status", Uint8;
    ICSS_FLAGS = "icss_flags", Uint8;
    ICSS_RESID = "icss_resid", Uint32;
    ICSS_SENSE_LEN = "icss_sense_len", Uint8;
    ICSS_SENSE = "icss_sense", Uint8Array;

    // r2t
    ICRT_TASK_MSGID = "icrt_task_msgid", Uint64;
    ICRT_SESSION_ID = "icrt_session_id", Uint64;
    ICRT_OFFSET = "icrt_offset", Uint32;
    ICRT_LENGTH = "icrt_length", Uint32;

    // status
    ICS_MSG_TYPE = "ics_msg_type", Uint8;
    ICS_MSGID = "ics_msgid", Uint64;
    ICS_STATUS = "ics_status", Uint8;

    // session_create, session_destroy
    ICSCD_INI_DEVID = "icscd_ini_devid", Nvlist;
    ICSCD_TGT_DEVID = "icscd_tgt_devid", Nvlist;
    ICSCD_RPORT = "icscd_rport", Nvlist;
    ICSCD_SESSION_ID = "icscd_session_id", Uint64;

    // echo_request, echo_reply
    ICERR_DATALEN = "icerr_datalen", Uint32;
    ICERR_DATA = "icerr_data", Uint8Array;

    // A device id, embedded under the names ..._devid and ..._port_id
    PROTOCOL_ID = "protocol_id", Uint8;
    CODE_SET = "code_set", Uint8;
    PIV = "piv", Uint8;
    ASSOCIATION = "association", Uint8;
    IDENT_TYPE = "ident_type", Uint8;
    IDENT_LENGTH = "ident_length", Uint8;
    IDENT = "ident", Uint8Array;

    // A transport id, embedded under the names ..._rport
    RPORT_TPTID_SZ = "rport_tptid_sz", Uint16;
    RPORT_TPTID = "rport_tptid", Uint8Array;
}
