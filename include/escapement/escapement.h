// The whole public interface.
#pragma once

#include "escapement/audit.h"
#include "escapement/dead_letter.h"
#include "escapement/handler.h"
#include "escapement/job.h"
#include "escapement/paused.h"
#include "escapement/process.h"
#include "escapement/report.h"
#include "escapement/schedule.h"
#include "escapement/scheduler.h"
#include "escapement/status.h"
#include "escapement/time.h"
