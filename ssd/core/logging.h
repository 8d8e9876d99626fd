#ifndef SSD_CORE_LOGGING_H_
#define SSD_CORE_LOGGING_H_

// LOG and CHECK are glog's; this is the only file that includes glog. LibTorch's wheel has its own
// LOG and CHECK, defined when c10/util/Logging.h is first read: whoever comes last wins. Here c10
// comes first and glog last, and because of c10's include guard that is final for the rest of the
// file.
#include <c10/util/Logging.h>

#undef LOG
#undef LOG_IF
#undef VLOG
#undef VLOG_IF
#undef CHECK
#undef DCHECK
#undef CHECK_OP
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_LE
#undef CHECK_LT
#undef CHECK_GE
#undef CHECK_GT
#undef DCHECK_EQ
#undef DCHECK_NE
#undef DCHECK_LE
#undef DCHECK_LT
#undef DCHECK_GE
#undef DCHECK_GT
#undef CHECK_NOTNULL
#undef DCHECK_NOTNULL

#include <glog/logging.h>

#endif  // SSD_CORE_LOGGING_H_
