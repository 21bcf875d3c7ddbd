// What every JobStore must do. Include it in one test program for each adapter and instantiate:
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, testing::Values(StoreUnderTest{"memory", MakeFreshStore}),
//   StoreName);
#pragma once

#include "contract/store/archive.h"
#include "contract/store/claims.h"
#include "contract/store/commits.h"
#include "contract/store/control.h"
#include "contract/store/definitions.h"
#include "contract/store/fixture.h"
#include "contract/store/law.h"
#include "contract/store/questions.h"
#include "contract/store/sessions.h"
