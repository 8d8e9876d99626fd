#ifndef SSD_WEIGHTS_SOURCES_TABLES_H_
#define SSD_WEIGHTS_SOURCES_TABLES_H_

#include "ssd/weights/sources/source.h"

// One table a source; see WeightsOptions.Source.
namespace ssd {

WeightSource OwnSource();
WeightSource TorchvisionSsd300Vgg16();
WeightSource TorchvisionSsdlite320();
WeightSource NvidiaSsd300Resnet50();
WeightSource AmdegrootSsd300();
WeightSource CaffeSsd300();
WeightSource TorchvisionResnet();
WeightSource TorchvisionVgg16();
WeightSource TorchvisionMobilenetV2();
WeightSource TorchvisionMobilenetV3Large();
WeightSource Vgg16Reducedfc();
WeightSource CaffeVgg16Reducedfc();

// Of ImageNet's training images, as torchvision's weights expect it (model.proto, InputConfig).
TrainedInput ImageNetInput();

}  // namespace ssd

#endif  // SSD_WEIGHTS_SOURCES_TABLES_H_
