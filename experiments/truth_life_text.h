#ifndef EXPERIMENTS_TRUTH_LIFE_TEXT_H_
#define EXPERIMENTS_TRUTH_LIFE_TEXT_H_

#include <string>

#include "experiments/truth_life.h"

namespace ssd {

// The life as text for a terminal: where its annotation stands, its box after each transform, the
// default boxes that answer for it and, with weights, what they cost, and how it is found or why it
// is not. Tables have the first twenty of their rows.
std::string TruthLifeText(const TruthLife& life);

}  // namespace ssd

#endif  // EXPERIMENTS_TRUTH_LIFE_TEXT_H_
