// What third_party:torch_first precompiles: the costly headers of LibTorch that many files share.
#include <torch/nn/module.h>
