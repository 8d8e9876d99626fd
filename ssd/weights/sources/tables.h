#ifndef SSD_WEIGHTS_SOURCES_TABLES_H_
#define SSD_WEIGHTS_SOURCES_TABLES_H_

#include <string>
#include <vector>

#include "ssd/weights/sources/source.h"

// One table a source; see WeightsOptions.Source.
namespace ssd {

WeightSource OwnSource();
WeightSource OwnBackbone();
WeightSource TorchvisionSsd300Vgg16();
WeightSource TorchvisionSsdlite320();
WeightSource NvidiaSsd300Resnet50();
WeightSource AmdegrootSsd300();
WeightSource CaffeSsd300();
WeightSource TorchvisionResnet();
WeightSource TorchvisionVgg16();
WeightSource TorchvisionVgg16Bn();
WeightSource TorchvisionMobilenetV2();
WeightSource TorchvisionMobilenetV3Large();
WeightSource Vgg16Reducedfc();
WeightSource CaffeVgg16Reducedfc();

// Of ImageNet's training images, as torchvision's weights expect it (model.proto, InputConfig).
TrainedInput ImageNetInput();

// Of torchvision's ssd300_vgg16, and of the VGG-16 that it starts from: image_mean and image_std in
// models/detection/ssd.py, there of values 0 to 1.
TrainedInput TorchvisionSsd300Input();

// Adds the rules of a convolution's weight and bias.
void AddConvolution(const std::string& from, const std::string& to, std::vector<NameRule>& rules);

}  // namespace ssd

#endif  // SSD_WEIGHTS_SOURCES_TABLES_H_
